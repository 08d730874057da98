//! When a HyperNode must probe, from values anybody can recompute once the seed is revealed (ARCHITECTURE section 8).

use crate::hash::{hmac_sha256, sha256};
use crate::ids::{Beacon, Epoch, HyperNodeId, NetworkId, NodeId, Nonce, Seed, Slot};
use crate::params::NetworkParams;

/// What a nonce is for; part of the nonce's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Challenge {
    /// TPM evidence.
    Attest = 1,
    /// Signed answer to a nonce.
    Probe = 2,
    /// Keyed region written.
    Fill = 3,
    /// Random reads of a keyed region.
    Chase = 4,
}

impl Challenge {
    /// The challenge with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Attest, Self::Probe, Self::Fill, Self::Chase]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }

    /// Its name in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Attest => "attest",
            Self::Probe => "probe",
            Self::Fill => "fill",
            Self::Chase => "chase",
        }
    }
}

/// The place of one challenge: who asks whom, when, what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChallengePlace {
    /// The network.
    pub network: NetworkId,
    /// The ScalerNode asked.
    pub node: NodeId,
    /// The HyperNode that asks.
    pub hypernode: HyperNodeId,
    /// Epoch of the slot.
    pub epoch: Epoch,
    /// Slot.
    pub slot: Slot,
    /// What is asked.
    pub kind: Challenge,
}

impl ChallengePlace {
    /// The nonce of ARCHITECTURE section 6; `r` is fresh randomness, logged in the outcome.
    pub fn nonce(&self, r: &[u8; 32]) -> Nonce {
        Nonce(sha256(&[
            b"assay/nonce/1",
            &self.network.0,
            &self.node.0,
            &self.hypernode.0,
            &self.epoch.0.to_be_bytes(),
            &u64::from(self.slot.0).to_be_bytes(),
            &[self.kind as u8],
            r,
        ]))
    }
}

/// Milliseconds into the slot at which this node is probed by the owner of `seed`.
pub fn probe_offset_ms(
    seed: &Seed,
    beacon: &Beacon,
    node: &NodeId,
    slot: Slot,
    window_ms: u64,
) -> u64 {
    let mac = hmac_sha256(
        &seed.0,
        &[&beacon.0, &node.0, &u64::from(slot.0).to_be_bytes()],
    );
    let first = mac
        .iter()
        .take(8)
        .fold(0u64, |n, byte| (n << 8) | u64::from(*byte));
    first.checked_rem(window_ms).unwrap_or(0)
}

/// Part of a slot in which probes start, so that retries and control probes end inside it.
pub fn probe_window_ms(params: &NetworkParams) -> u64 {
    params.slot_ms.checked_div(4).unwrap_or(0).max(1)
}

/// One step towards the registered end of a seed chain.
pub fn seed_step(seed: &Seed) -> Seed {
    Seed(sha256(&[b"assay/seed/1", &seed.0]))
}

/// The seed of `epoch` in the chain of `links` links that starts at `secret`.
/// `None` when the chain has no link left for it.
pub fn seed_of_epoch(secret: &Seed, links: u64, epoch: Epoch) -> Option<Seed> {
    let steps = links.checked_sub(epoch.0)?.checked_sub(1)?;
    Some((0..steps).fold(*secret, |seed, _| seed_step(&seed)))
}

/// The chain's end, registered on the ledger.
pub fn seed_end(secret: &Seed, links: u64) -> Seed {
    (0..links).fold(*secret, |seed, _| seed_step(&seed))
}

/// Whether `seed` is the link of `epoch` in the chain that ends in `end`.
pub fn seed_belongs(seed: &Seed, epoch: Epoch, end: &Seed, links: u64) -> bool {
    epoch.0 < links && (0..=epoch.0).fold(*seed, |seed, _| seed_step(&seed)) == *end
}

/// The beacon of epochs 0 and 1, from the registered ends of all seed chains.
pub fn genesis_beacon(params: &NetworkParams, network: &NetworkId, epoch: Epoch) -> Beacon {
    let ends: Vec<_> = params
        .roster
        .iter()
        .map(|entry| (entry.id, entry.seed_end))
        .collect();
    beacon_over(network, epoch, None, &ends)
}

/// The beacon of a later epoch: over the seeds revealed in the agreed reports of two epochs before.
/// `before` is that epoch's own beacon, so that a void epoch (no seeds) still moves the beacon on.
/// Whoever may withhold k reveals chooses among 2^k beacons; SECURITY.md says so.
pub fn later_beacon(
    network: &NetworkId,
    epoch: Epoch,
    before: &Beacon,
    seeds: &[(HyperNodeId, Seed)],
) -> Beacon {
    beacon_over(network, epoch, Some(before), seeds)
}

fn beacon_over(
    network: &NetworkId,
    epoch: Epoch,
    before: Option<&Beacon>,
    seeds: &[(HyperNodeId, Seed)],
) -> Beacon {
    let mut sorted = seeds.to_vec();
    sorted.sort();
    let epoch = epoch.0.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![b"assay/beacon/1", &network.0, &epoch];
    parts.extend(before.map(|beacon| &beacon.0[..]));
    for (id, seed) in &sorted {
        parts.push(&id.0);
        parts.push(&seed.0);
    }
    Beacon(sha256(&parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_of_all_epochs_lead_to_the_registered_end_and_no_other_seed_does() {
        let (secret, links) = (Seed([5; 32]), 16);
        let end = seed_end(&secret, links);
        for epoch in 0..links {
            let seed = seed_of_epoch(&secret, links, Epoch(epoch)).unwrap();
            assert!(seed_belongs(&seed, Epoch(epoch), &end, links));
            assert!(!seed_belongs(&seed, Epoch(epoch + 1), &end, links));
        }
        assert_eq!(seed_of_epoch(&secret, links, Epoch(links)), None);
        assert!(!seed_belongs(&secret, Epoch(links), &end, links));
    }

    #[test]
    fn the_nonce_binds_every_part_of_its_place() {
        let place = ChallengePlace {
            network: NetworkId([1; 32]),
            node: NodeId([2; 32]),
            hypernode: HyperNodeId([3; 32]),
            epoch: Epoch(4),
            slot: Slot(5),
            kind: Challenge::Probe,
        };
        let nonce = place.nonce(&[6; 32]);
        let others = [
            ChallengePlace {
                network: NetworkId([9; 32]),
                ..place
            },
            ChallengePlace {
                node: NodeId([9; 32]),
                ..place
            },
            ChallengePlace {
                hypernode: HyperNodeId([9; 32]),
                ..place
            },
            ChallengePlace {
                epoch: Epoch(9),
                ..place
            },
            ChallengePlace {
                slot: Slot(9),
                ..place
            },
            ChallengePlace {
                kind: Challenge::Attest,
                ..place
            },
        ];
        assert!(others.iter().all(|other| other.nonce(&[6; 32]) != nonce));
        assert_ne!(place.nonce(&[7; 32]), nonce);
    }

    #[test]
    fn beacons_do_not_depend_on_the_order_of_seeds_but_on_each_of_them() {
        let (a, b) = (
            (HyperNodeId([1; 32]), Seed([1; 32])),
            (HyperNodeId([2; 32]), Seed([2; 32])),
        );
        let beacon =
            |seeds: &[_]| later_beacon(&NetworkId([0; 32]), Epoch(2), &Beacon([0; 32]), seeds);
        assert_eq!(beacon(&[a, b]), beacon(&[b, a]));
        assert_ne!(beacon(&[a, b]), beacon(&[a]));
    }
}
