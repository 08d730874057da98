//! The agent's configuration, as far as it was measured: whose node it is.

use super::policy::Owner;
use assay_protocol::config::AgentConfig;
use assay_protocol::hash::sha256;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Configurations kept; beyond it the cache starts afresh, so that hostile logs cannot grow it.
pub const CONFIGURATIONS_MAX: usize = 131_072;

/// Configurations that were read before: a node shows the same one at every attestation. Empty at first; it may be
/// shared between threads.
#[derive(Debug, Default)]
pub struct Configurations(Mutex<HashMap<[u8; 32], Owner>>);

impl Configurations {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exactly one of the proven events must be a configuration: other boot parts measure there too.
    pub(super) fn the_owner<'a>(
        &self,
        proven: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Owner, String> {
        let mut found = proven.filter_map(|data| self.owner(data));
        match (found.next(), found.next()) {
            (Some(owner), None) => Ok(owner),
            (Some(_), Some(_)) => Err("more than one".into()),
            (None, _) => Err("none".into()),
        }
    }

    /// Whom a configuration names; nothing when it is none.
    fn owner(&self, bytes: &[u8]) -> Option<Owner> {
        let digest = sha256(&[bytes]);
        if let Some(known) = self.lock().get(&digest) {
            return Some(*known);
        }
        let config = AgentConfig::parse(bytes).ok()?;
        let owner = Owner {
            network: config.network,
            provider: config.provider,
        };
        let mut known = self.lock();
        if known.len() >= CONFIGURATIONS_MAX {
            known.clear();
        }
        known.insert(digest, owner);
        Some(owner)
    }

    /// A panic elsewhere leaves the map whole: entries are inserted in one step.
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::ids::{Address, NetworkId};
    use assay_testbed::soft_node::config;

    const NETWORK: NetworkId = NetworkId([1; 32]);

    fn owner(provider: u8) -> Owner {
        Owner {
            network: NETWORK,
            provider: Address([provider; 20]),
        }
    }

    fn text(provider: u8) -> String {
        config((NETWORK, Address([provider; 20])))
    }

    #[test]
    fn each_configuration_names_its_own_owner_however_often_it_is_read() {
        let known = Configurations::new();
        for _ in 0..2 {
            for provider in [1, 2] {
                assert_eq!(
                    known.owner(text(provider).as_bytes()),
                    Some(owner(provider))
                );
            }
        }
        assert_eq!(known.lock().len(), 2);
    }

    #[test]
    fn what_is_no_configuration_is_not_remembered() {
        let known = Configurations::new();
        for _ in 0..2 {
            assert_eq!(known.owner(b"quiet splash"), None);
            assert_eq!(known.owner(&text(1).as_bytes()[1..]), None);
        }
        assert!(known.lock().is_empty());
    }

    #[test]
    fn exactly_one_configuration_is_expected_beside_other_events() {
        let known = Configurations::new();
        let (one, two) = (text(1), text(2));
        let of = |events: &[&str]| known.the_owner(events.iter().map(|text| text.as_bytes()));
        assert_eq!(of(&["quiet", &one, "splash"]), Ok(owner(1)));
        assert_eq!(of(&[&one, &two]), Err("more than one".into()));
        assert_eq!(of(&[&one, &one]), Err("more than one".into()));
        assert_eq!(of(&["quiet"]), Err("none".into()));
        assert_eq!(of(&[]), Err("none".into()));
    }
}
