//! The session key and the hash chain of what it signed.
//!
//! The key is made in memory at start and never written: a restart is a new session, which every
//! HyperNode has to bind to the TPM anew.

use assay_protocol::answers::ChainLink;
use assay_protocol::cose::{Payload, Signer as _, seal};
use assay_protocol::hash::digest;
use assay_protocol::ids::{Digest, SessionKey};
use assay_transport::{Identity, IdentityError};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The session: its Ed25519 key and the head of its chain of answers.
#[derive(Debug)]
pub struct Session {
    identity: Identity,
    head: Mutex<ChainLink>,
}

impl Session {
    /// A new key and an empty chain.
    pub fn generate() -> Result<Self, IdentityError> {
        let identity = Identity::generate()?;
        Ok(Self {
            identity,
            head: Mutex::new(ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            }),
        })
    }

    /// The public key.
    pub fn id(&self) -> SessionKey {
        SessionKey(self.identity.public_key())
    }

    /// The key, for TLS.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The place the next answer will have: what evidence quotes as the chain's head.
    pub fn head(&self) -> ChainLink {
        *self.lock()
    }

    /// Signs the answer `make` builds at the next place of the chain.
    pub fn answer<T: Payload>(&self, make: impl FnOnce(ChainLink) -> T) -> Vec<u8> {
        let mut head = self.lock();
        let bytes = seal(make(*head), &self.identity).bytes().to_vec();
        head.sequence = head.sequence.saturating_add(1);
        head.previous = digest(&[&bytes]);
        bytes
    }

    fn lock(&self) -> MutexGuard<'_, ChainLink> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use assay_protocol::answers::ProbeAnswer;
    use assay_protocol::cose::open;
    use assay_protocol::ids::{NodeId, Nonce, UnixMs};

    fn probe(session: &Session) -> Vec<u8> {
        session.answer(|link| ProbeAnswer {
            node: NodeId([1; 32]),
            nonce: Nonce([2; 32]),
            link,
            counters: Vec::new(),
            at: UnixMs(3),
        })
    }

    #[test]
    fn each_answer_names_the_one_before() {
        let session = Session::generate().unwrap();
        let (first, second) = (probe(&session), probe(&session));
        let first_answer = open::<ProbeAnswer>(&first, &session.id().0).unwrap();
        assert_eq!(first_answer.payload().link.previous, Digest([0; 32]));
        let link = open::<ProbeAnswer>(&second, &session.id().0)
            .unwrap()
            .payload()
            .link;
        assert_eq!(
            link,
            ChainLink {
                sequence: 1,
                previous: digest(&[&first])
            }
        );
        assert_eq!(
            session.head(),
            ChainLink {
                sequence: 2,
                previous: digest(&[&second])
            }
        );
    }

    #[test]
    fn two_sessions_have_two_keys() {
        assert_ne!(
            Session::generate().unwrap().id(),
            Session::generate().unwrap().id()
        );
    }
}
