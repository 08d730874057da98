//! Two roots of one epoch and round by one committee, found by comparing two audit bundles: whoever signed both has a
//! signature under each of them.

use anyhow::{Context, Result, ensure};
use assay_aggregate::root::{Committee, EpochRoot, Member, recover};
use assay_protocol::ids::{Address, Epoch, NetworkId};
use assay_protocol::layout::{self, SignedRoot};
use std::collections::BTreeMap;
use std::fmt;

use crate::bundle::Bundle;

/// What a signature of a root is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Signing {
    /// The network.
    pub network: NetworkId,
    /// The chain.
    pub chain_id: u64,
    /// The network's contract.
    pub contract: Address,
}

/// A root with one signature of it, r ‖ s ‖ v.
pub type SignedBy = (EpochRoot, [u8; 65]);

/// How the roots of two bundles go together.
#[derive(Debug, Default)]
pub struct Compared {
    /// Epochs of which both have a root.
    pub epochs: Vec<Epoch>,
    /// Those with two roots of different rounds or committees: one may correct the other.
    pub corrected: Vec<Epoch>,
    /// Those with two roots of one round and committee.
    pub forked: Vec<Epoch>,
    /// Who signed two roots of one round and committee.
    pub guilty: Vec<(Address, [SignedBy; 2])>,
}

/// What was compared, for messages; who is guilty is not said.
impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |epochs: &[Epoch]| {
            let all: Vec<String> = epochs.iter().map(Epoch::to_string).collect();
            all.join(", ")
        };
        match &self.epochs[..] {
            [] => write!(f, "no epoch of which both have a root")?,
            some => write!(f, "the roots of {} epochs", some.len())?,
        }
        if !self.corrected.is_empty() {
            write!(
                f,
                "; those of {} are of two rounds or committees, so that one may correct the other",
                list(&self.corrected)
            )?;
        }
        if !self.forked.is_empty() {
            write!(
                f,
                "; those of {} differ, but no member's signature is under both",
                list(&self.forked)
            )?;
        }
        Ok(())
    }
}

/// Compares the roots of all epochs that both bundles have.
pub fn compare(bundles: [&Bundle; 2], signing: &Signing) -> Result<Compared> {
    let [first, second] = bundles;
    let mut compared = Compared::default();
    for epoch in first.epochs(layout::root) {
        if second.get(&layout::root(epoch)).is_none() {
            continue;
        }
        compared.epochs.push(epoch);
        let (a, b) = (
            signed(first, epoch, signing)?,
            signed(second, epoch, signing)?,
        );
        if a.root == b.root {
            continue;
        }
        if (a.root.round, a.root.committee) != (b.root.round, b.root.committee) {
            compared.corrected.push(epoch);
            continue;
        }
        compared.forked.push(epoch);
        let both = a.by.iter().filter_map(|(account, signature)| {
            let other = b.by.get(account)?;
            Some((*account, [(a.root, *signature), (b.root, *other)]))
        });
        compared.guilty.extend(both);
    }
    Ok(compared)
}

/// A root and its members' signatures that hold.
struct Signed {
    root: EpochRoot,
    by: BTreeMap<Address, [u8; 65]>,
}

fn signed(bundle: &Bundle, epoch: Epoch, signing: &Signing) -> Result<Signed> {
    let path = layout::root(epoch);
    let place = || format!("{}, {path}", bundle.name());
    let record: SignedRoot = bundle.record(&path)?;
    ensure!(
        record.epoch == epoch,
        "{}: expected the root of epoch {epoch}, got that of {}",
        place(),
        record.epoch
    );
    let member = |(address, weight): &(Address, u128)| Member {
        address: *address,
        weight: *weight,
    };
    let committee = Committee::new(record.committee.iter().map(member).collect());
    let committee = committee.with_context(place)?.hash();
    let root = EpochRoot::of_record(signing.network, &record, committee);
    let digest = root.digest(signing.chain_id, &signing.contract);
    let accounts = record.committee.iter().map(|(account, _)| *account);
    let good = accounts
        .zip(&record.signatures)
        .filter_map(|(account, blob)| {
            let signature = <[u8; 65]>::try_from(blob.0.as_slice()).ok()?;
            let signer = recover(&digest, &signature).ok()?;
            (signer == account).then_some((account, signature))
        });
    Ok(Signed {
        root,
        by: good.collect(),
    })
}
