//! From nothing to an open network: keys, contract, roster, genesis, registrations. Each command is one step against a
//! running ledger; a step done twice is refused by the contract or changes nothing.

use anyhow::{Context, Result, bail, ensure};
use assay_aggregate::roster::Roster;
use assay_ledger::{
    Action, AssayLedger, Chain, HyperNodeRecord, LedgerKey, Token, TxSigner, decimals_of,
};
use assay_protocol::amount::{DECIMALS_MAX, Gwei};
use assay_protocol::cose::Signer;
use assay_protocol::ids::{Address, Epoch, HyperNodeId, Stake, UnixMs};
use assay_protocol::params::{NetworkParams, RosterEntry};
use assay_transport::identity::Identity;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Plan, expect_place};
use crate::plan_rules::{self, Given};
use crate::terms;

/// An opened network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenedNetwork {
    /// Network id.
    pub network: assay_protocol::ids::NetworkId,
    /// Its contract.
    pub contract: Address,
    /// Hash of the genesis committee: what a trust file pins for epoch 0.
    pub committee: assay_protocol::ids::Keccak,
    /// Start of epoch 0.
    pub genesis_unix_ms: UnixMs,
}

/// What amounts that are paid call a gwei. The token's decimals are known to whoever pays, not only to the node that answers
/// for the chain: one that lies would change every amount.
pub fn agreed_gwei(expected: u8, actual: u8) -> Result<Gwei> {
    ensure!(
        expected == actual,
        "token decimals: expected {expected}, the token says {actual}\n\
         hint: `token_decimals` in the plan, or `--token-decimals`, if you know that it has {actual}"
    );
    Gwei::of_decimals(expected)
        .with_context(|| format!("token decimals: {expected}, expected at most {DECIMALS_MAX}"))
}

fn plan_gwei(ledger: &AssayLedger, plan: &Plan) -> Result<Gwei> {
    agreed_gwei(plan.ledger.token_decimals, ledger.token_decimals()?)
}

/// A new secp256k1 key file, encrypted when there is a password; returns its account.
pub fn new_ledger_key(path: &Path, password_file: Option<&Path>) -> Result<Address> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).context("no randomness from the system")?;
    let key = match password_file {
        None => LedgerKey::create_file(path, &secret)?,
        Some(password) => LedgerKey::create_keystore(path, &secret, password)?,
    };
    Ok(key.address())
}

/// A new Ed25519 key file for the board's TLS server; returns the key HyperNodes pin.
pub fn new_board_key(path: &Path) -> Result<HyperNodeId> {
    Ok(HyperNodeId(Identity::create(path)?.public_key()))
}

/// Deploys a network's contracts for a plan; the key's account opens genesis later. Its classes are made known when that
/// account is the governor, too; otherwise the governor does it with [`set_classes`].
pub fn deploy(
    chain: Arc<dyn Chain>,
    key: &dyn TxSigner,
    plan: &Plan,
    genesis: UnixMs,
    fee_cap: u128,
) -> Result<Address> {
    let actual = match plan.ledger.token() {
        Token::At(token) => decimals_of(chain.as_ref(), token)?,
        Token::Test { decimals } => decimals,
    };
    let gwei = agreed_gwei(plan.ledger.token_decimals, actual)?;
    plan_rules::check(plan, gwei, genesis)?;
    let deployment = terms::deployment(plan, gwei, genesis, key.address())?;
    let deployed = AssayLedger::deploy_paying(chain, key, &deployment, fee_cap)?;
    if deployment.roles.governor == key.address() {
        set_classes(&deployed, key, plan).with_context(|| {
            let contract = deployed.contract();
            format!(
                "contract {contract}: deployed, but its classes are not set\n\
                 hint: do not deploy again; `ledger set-classes --contract {contract}` goes on"
            )
        })?;
    }
    Ok(deployed.contract())
}

/// Makes the plan's classes known to the ledger: terms and credit schedule, once each, by the governor. What is there is
/// left as it is; returns how many were new.
pub fn set_classes(ledger: &AssayLedger, key: &dyn TxSigner, plan: &Plan) -> Result<usize> {
    let (tiers, gwei) = (terms::credits(plan), plan_gwei(ledger, plan)?);
    let mut set = 0;
    for class in plan.load_classes()? {
        let digest = class.digest();
        if ledger.schedule(digest)?.is_empty() {
            ledger.submit(key, &Action::set_schedule(digest, &tiers))?;
        }
        if ledger.class_terms(digest)?.collateral == Stake(0) {
            let terms = terms::class(plan, gwei, &class);
            ledger.submit(key, &Action::set_class(digest, &terms))?;
            set += 1;
        }
    }
    Ok(set)
}

/// Closes the roster: assembles the parameters, opens genesis, writes the network file.
/// On a network that is open already with the same parameters it only writes the file.
pub fn open_genesis(
    ledger: &AssayLedger,
    key: &dyn TxSigner,
    plan: &Plan,
    out: &Path,
) -> Result<OpenedNetwork> {
    let params = assemble(ledger, plan)?;
    let network = params.network_id();
    let committee = Roster::at_genesis(&params)?.committee().hash();
    match ledger.network_id()? {
        None => {
            check_room(out)?;
            // Genesis is once: what it would begin with is compared before.
            let stored = ledger.committee_of(Epoch(0))?.hash();
            ensure!(
                committee == stored,
                "committee of epoch 0: {committee} from who registered, {stored} in the contract\n\
                 hint: somebody has less than the least stake, or registers just now"
            );
            ledger.submit(key, &Action::open_genesis(network, committee))?;
        }
        Some(open) => ensure!(
            open == network,
            "genesis is open already: network id: expected {network} from this plan and roster, got {open}\n\
             hint: use the plan genesis was opened with"
        ),
    }
    let stored = ledger.committee_of(Epoch(0))?.hash();
    ensure!(
        committee == stored,
        "genesis committee: computed {committee}, the contract holds {stored}"
    );
    let text = serde_json::to_string_pretty(&params).context("network parameters")?;
    write_atomically(out, text.as_bytes())?;
    Ok(OpenedNetwork {
        network,
        contract: params.contract,
        committee,
        genesis_unix_ms: params.genesis_unix_ms,
    })
}

/// Refuses to open a network of which an epoch is over already: nobody could report about it.
pub fn check_in_time(ledger: &AssayLedger, now: UnixMs) -> Result<()> {
    if ledger.network_id()?.is_some() {
        return Ok(());
    }
    let fixed = ledger.genesis_parameters()?;
    let end = fixed.genesis_unix_ms.0.saturating_add(fixed.epoch_ms);
    ensure!(
        now.0 < end,
        "genesis: expected to be opened before epoch 0 ends at {end} (Unix ms), got {now}\n\
         hint: deploy again, with a genesis that leaves everybody time to register"
    );
    Ok(())
}

/// What cannot be undone is not done before its result has a place.
fn check_room(path: &Path) -> Result<()> {
    let probe = path.with_added_extension("partial");
    expect_place(!path.is_dir(), path, "expected a file, got a folder")?;
    std::fs::File::create(&probe)
        .and_then(|_| std::fs::remove_file(&probe))
        .with_context(|| format!("{}", path.display()))
}

/// The network's parameters: what the plan says, what the contract was made with, who registered.
fn assemble(ledger: &AssayLedger, plan: &Plan) -> Result<NetworkParams> {
    let genesis = ledger.genesis_parameters()?;
    let window_ms = plan.dispute_window_epochs.saturating_mul(plan.epoch_ms);
    let same = [
        ("epoch_ms", plan.epoch_ms, genesis.epoch_ms),
        ("void_after_ms", plan.void_after_ms, genesis.void_after_ms),
        (
            "dispute_window_epochs in milliseconds",
            window_ms,
            genesis.dispute_window_ms,
        ),
        (
            "operator_cap_bps",
            plan.operator_cap_bps.0.into(),
            genesis.operator_cap_bps.0.into(),
        ),
    ];
    for (name, expected, actual) in same {
        if expected != actual {
            bail!(
                "plan: {name}: {expected}, but the contract was deployed with {actual}\nhint: use the plan it was deployed with"
            );
        }
    }
    check_terms(ledger, plan, genesis.genesis_unix_ms)?;
    check_classes(ledger, plan)?;
    let roster = genesis_roster(ledger)?;
    let given = Given {
        chain_id: ledger.chain_id()?,
        contract: ledger.contract(),
        genesis: genesis.genesis_unix_ms,
        gwei: plan_gwei(ledger, plan)?,
        roster,
    };
    plan_rules::parameters(plan, given)
}

/// Who registered so far; once genesis is open, who had then.
fn genesis_roster(ledger: &AssayLedger) -> Result<Vec<RosterEntry>> {
    if ledger.network_id()?.is_some() {
        return Ok(ledger.roster(Epoch(0))?);
    }
    let mut roster: Vec<_> = ledger.hypernodes()?.iter().map(roster_entry).collect();
    roster.sort_unstable_by_key(|entry| entry.id);
    Ok(roster)
}

/// Other terms than the plan's would let a node leave its trial, bill slots that no epoch has, or ask a bond that nobody can pay.
fn check_terms(ledger: &AssayLedger, plan: &Plan, genesis: UnixMs) -> Result<()> {
    let expected = terms::deployment(plan, plan_gwei(ledger, plan)?, genesis, ledger.contract())?;
    let (nodes, rent) = (ledger.node_terms()?, ledger.rent_terms()?);
    let (wanted, fixed) = (expected.genesis, ledger.genesis_parameters()?);
    for (name, expected, actual) in [
        ("dispute_bond_gwei", wanted.dispute_bond, fixed.dispute_bond),
        ("min_stake_gwei", wanted.min_stake, fixed.min_stake),
    ] {
        ensure!(
            expected == actual,
            "plan: ledger.{name}: {expected} of the token's smallest unit, but the contract was deployed with {actual}\n\
             hint: use the plan it was deployed with, and the token's own decimals"
        );
    }
    let token = ledger.contracts().token;
    ensure!(
        plan.ledger.token.is_none_or(|expected| expected == token),
        "plan: ledger.token: expected {}, but the contract was deployed with {token}\n\
         hint: use the plan it was deployed with",
        plan.ledger.token.unwrap_or(token)
    );
    ensure!(
        nodes == expected.nodes,
        "plan: terms of nodes: {:?}, but the contract was deployed with {nodes:?}\n\
         hint: use the plan it was deployed with",
        expected.nodes
    );
    ensure!(
        rent == expected.rent,
        "plan: terms of reservations: {:?}, but the contract was deployed with {rent:?}\n\
         hint: use the plan it was deployed with",
        expected.rent
    );
    Ok(())
}

/// Other terms than the plan's would let in a node that pledged too little, or take nothing for a breach.
fn check_classes(ledger: &AssayLedger, plan: &Plan) -> Result<()> {
    for class in plan.load_classes()? {
        let (digest, expected) = (
            class.digest(),
            terms::class(plan, plan_gwei(ledger, plan)?, &class),
        );
        let actual = ledger.class_terms(digest)?;
        ensure!(
            actual == expected,
            "class {digest}: terms on the ledger: expected {expected:?}, got {actual:?}\n\
             hint: the governor sets its terms with `ledger set-classes`; terms that are set never change"
        );
        let (expected, actual) = (terms::credits(plan), ledger.schedule(digest)?);
        ensure!(
            actual == expected,
            "class {digest}: credits on the ledger: expected {expected:?}, got {actual:?}\n\
             hint: the governor sets them with `ledger set-classes`; a schedule that is set never changes"
        );
    }
    Ok(())
}

fn roster_entry(record: &HyperNodeRecord) -> RosterEntry {
    RosterEntry {
        id: record.ed25519,
        operator: record.operator,
        ledger: record.address,
        stake: record.stake,
        seed_end: record.seed_end,
    }
}

/// Others wait for this file: it is there whole or not at all.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_added_extension("partial");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&partial)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("{}", path.display()))
}

/// A region's name as the ledger's 32 bytes, padded with zeros.
pub fn region(text: &str) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    let room = bytes.get_mut(..text.len());
    room.with_context(|| format!("region {text:?}: at most 32 bytes"))?
        .copy_from_slice(text.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_padded_and_bounded() {
        assert_eq!(&region("eu").unwrap()[..3], b"eu\0");
        assert!(
            region(&"x".repeat(33))
                .unwrap_err()
                .to_string()
                .contains("32 bytes")
        );
    }

    #[test]
    fn key_files_are_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("poster.key");
        let address = new_ledger_key(&path, None).unwrap();
        assert_eq!(LedgerKey::from_file(&path).unwrap().address(), address);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(new_ledger_key(&path, None).is_err());
    }
}
