//! Transport frames: `postcard` messages behind a header of magic, version and length.
//! Nothing here is ever signed or stored.

use crate::chase::{ChasePlan, LaneState};
use crate::ids::{Beacon, Digest, Epoch, Nonce, ReportData};
use crate::limits::ERROR_TEXT_BYTES_MAX;
use crate::region::RegionId;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"ASY1";
/// Version of the messages.
pub const VERSION: u8 = 1;
/// Length of the header: magic, version, payload length as u32 big-endian.
pub const HEADER_BYTES: usize = 9;

/// Why a frame is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not our protocol.
    #[error("frame magic: expected {MAGIC:02x?}, got {0:02x?}")]
    Magic([u8; 4]),
    /// Another version.
    #[error("frame version: expected {VERSION}, got {0}")]
    Version(u8),
    /// Longer than allowed here.
    #[error("frame length: at most {max} bytes allowed, got {actual}")]
    Oversize {
        /// Cap of this connection.
        max: usize,
        /// Announced length.
        actual: usize,
    },
    /// The payload is not the message expected.
    #[error("frame payload is not a valid message: {0}")]
    Message(String),
}

/// Checks a header and returns the payload's length.
pub fn payload_len(header: &[u8; HEADER_BYTES], max: usize) -> Result<usize, FrameError> {
    let [m0, m1, m2, m3, version, l0, l1, l2, l3] = *header;
    let magic = [m0, m1, m2, m3];
    if magic != MAGIC {
        return Err(FrameError::Magic(magic));
    }
    if version != VERSION {
        return Err(FrameError::Version(version));
    }
    let actual = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
    if actual > max {
        return Err(FrameError::Oversize { max, actual });
    }
    Ok(actual)
}

/// A whole frame of `message`, refused when longer than `max`.
pub fn frame<T: Serialize>(message: &T, max: usize) -> Result<Vec<u8>, FrameError> {
    let payload =
        postcard::to_stdvec(message).map_err(|error| FrameError::Message(error.to_string()))?;
    let oversize = FrameError::Oversize {
        max,
        actual: payload.len(),
    };
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|_| payload.len() <= max)
        .ok_or(oversize)?;
    let mut out = Vec::with_capacity(payload.len().saturating_add(HEADER_BYTES));
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&payload);
    Ok(out)
}

/// Reads a message that fills `payload`.
pub fn message<T: DeserializeOwned>(payload: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(payload)
        .map_err(|error| FrameError::Message(error.to_string()))?;
    match rest.len() {
        0 => Ok(message),
        left => Err(FrameError::Message(format!("{left} trailing bytes"))),
    }
}

/// Byte strings go over the wire as such, not element by element.
mod octets {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        <&'de [u8]>::deserialize(deserializer).map(<[u8]>::to_vec)
    }
}

/// HyperNode to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentRequest {
    /// Who are you? Answered by [`AgentReply::Offer`].
    Enrol,
    /// The credential only the TPM with EK and AK can open. Answered by [`AgentReply::Activated`].
    Activate {
        /// TPM2B_ID_OBJECT.
        #[serde(with = "octets")]
        credential_blob: Vec<u8>,
        /// TPM2B_ENCRYPTED_SECRET.
        #[serde(with = "octets")]
        encrypted_secret: Vec<u8>,
    },
    /// Answered by [`AgentReply::Evidence`].
    Attest {
        /// The nonce.
        nonce: Nonce,
        /// Epoch it belongs to.
        epoch: Epoch,
        /// Beacon of that epoch.
        beacon: Beacon,
    },
    /// Answered by [`AgentReply::Answer`] with a signed `ProbeAnswer`.
    Probe {
        /// The nonce.
        nonce: Nonce,
    },
    /// Opens a region for writing. Answered by [`AgentReply::Ready`].
    FillBegin {
        /// Which region.
        id: RegionId,
        /// Hash of its key.
        key_hash: Digest,
        /// Blocks that will come.
        blocks: u32,
    },
    /// Blocks in order, a multiple of 4 KiB. Answered by [`AgentReply::Ready`].
    FillData {
        /// Index of the first block.
        first: u32,
        /// The blocks.
        #[serde(with = "octets")]
        data: Vec<u8>,
    },
    /// All blocks were sent. Answered by [`AgentReply::Answer`] with a signed `FillReceipt` once durable.
    FillEnd,
    /// The receipt with the HyperNode's signature. Answered by [`AgentReply::Ready`] once durable.
    FillCountersigned {
        /// Signed `Countersigned`.
        #[serde(with = "octets")]
        receipt: Vec<u8>,
    },
    /// Answered by [`AgentReply::Checkpoint`]s and then [`AgentReply::Answer`] with a signed `ChaseAnswer`.
    Chase {
        /// The nonce.
        nonce: Nonce,
        /// What to walk.
        plan: ChasePlan,
    },
    /// As [`Self::Attest`], of whoever has appraised the beginning of this boot's IMA list: those entries may be left
    /// out. An agent that does not know the request closes the connection; [`Self::Attest`] asks it for the same.
    AttestAfter {
        /// The nonce.
        nonce: Nonce,
        /// Epoch it belongs to.
        epoch: Epoch,
        /// Beacon of that epoch.
        beacon: Beacon,
        /// What was appraised.
        appraised: ImaAppraised,
    },
    /// Whom the network's agents answer, as far as the HyperNode knows. Answered by [`AgentReply::Ready`] once the agent
    /// has taken a newer lineage over, or had the same, and by [`AgentReply::Roster`] when its own is newer. An agent that
    /// does not know the request closes the connection.
    Roster {
        /// See [`crate::succession::LineageRecord`].
        #[serde(with = "octets")]
        lineage: Vec<u8>,
    },
}

/// How much of an IMA list whoever asks has appraised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImaAppraised {
    /// The TPM's `resetCount` of the boot that the list is of.
    pub reset_count: u32,
    /// Entries from the first one on.
    pub entries: u64,
}

/// Agent to HyperNode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentReply {
    /// Identity material, all unverified.
    Offer {
        /// EK certificate as read from NV.
        #[serde(with = "octets")]
        ek_certificate: Vec<u8>,
        /// TPMT_PUBLIC of the EK.
        #[serde(with = "octets")]
        ek_public: Vec<u8>,
        /// TPMT_PUBLIC of the AK.
        #[serde(with = "octets")]
        ak_public: Vec<u8>,
    },
    /// The secret out of the credential.
    Activated {
        /// The secret.
        #[serde(with = "octets")]
        secret: Vec<u8>,
    },
    /// Signed evidence.
    Evidence {
        /// COSE_Sign1 bytes.
        #[serde(with = "octets")]
        bytes: Vec<u8>,
    },
    /// A signed answer.
    Answer {
        /// COSE_Sign1 bytes.
        #[serde(with = "octets")]
        bytes: Vec<u8>,
    },
    /// Go on.
    Ready,
    /// A lane reached a checkpoint.
    Checkpoint {
        /// Lane.
        lane: u32,
        /// Number of the checkpoint in its lane, from 0.
        number: u32,
        /// Its state.
        state: LaneState,
    },
    /// Refused, with a reason for people.
    Refused(Refusal),
    /// A lineage that is newer than the one it was told.
    Roster {
        /// See [`crate::succession::LineageRecord`].
        #[serde(with = "octets")]
        lineage: Vec<u8>,
    },
}

/// Agent to its probe guest, over vsock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeGuestRequest {
    /// A SEV-SNP report that carries these bytes. Answered by [`ProbeGuestReply::Report`].
    Report {
        /// The bytes.
        report_data: ReportData,
    },
}

/// Probe guest to agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeGuestReply {
    /// What the firmware and the host gave.
    Report {
        /// ATTESTATION_REPORT.
        #[serde(with = "octets")]
        report: Vec<u8>,
        /// The certificate table; empty when the host gave none.
        #[serde(with = "octets")]
        certificates: Vec<u8>,
    },
    /// Refused.
    Refused(Refusal),
}

/// HyperNode to HyperNode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// A control probe. Answered by [`PeerReply::Control`].
    Control {
        /// The nonce.
        nonce: Nonce,
    },
}

/// HyperNode to HyperNode, back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerReply {
    /// Signed `ControlAnswer`.
    Control {
        /// COSE_Sign1 bytes.
        #[serde(with = "octets")]
        bytes: Vec<u8>,
    },
    /// Refused.
    Refused(Refusal),
}

/// A signed object on the board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoardObject {
    /// Signed `Commit`.
    Commit(#[serde(with = "octets")] Vec<u8>),
    /// Signed `Reveal`.
    Reveal(#[serde(with = "octets")] Vec<u8>),
    /// Signed `Proposal`.
    Proposal(#[serde(with = "octets")] Vec<u8>),
    /// Signed `Vote`.
    Vote(#[serde(with = "octets")] Vec<u8>),
    /// Signed `RootSignature`.
    RootSignature(#[serde(with = "octets")] Vec<u8>),
    /// Signed `Succession`, on the board of the epoch two before the roster's first.
    Succession(#[serde(with = "octets")] Vec<u8>),
}

impl BoardObject {
    /// The signed bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Commit(bytes)
            | Self::Reveal(bytes)
            | Self::Proposal(bytes)
            | Self::Vote(bytes)
            | Self::RootSignature(bytes)
            | Self::Succession(bytes) => bytes,
        }
    }

    /// Its kind, for messages and storage.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Reveal(_) => "reveal",
            Self::Proposal(_) => "proposal",
            Self::Vote(_) => "vote",
            Self::RootSignature(_) => "root-signature",
            Self::Succession(_) => "succession",
        }
    }
}

/// HyperNode to bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoardRequest {
    /// Put an object on the board of an epoch. Answered by [`BoardReply::Stored`] once durable.
    Post {
        /// The epoch.
        epoch: Epoch,
        /// The object.
        object: BoardObject,
    },
    /// What came after number `after`. Answered by [`BoardReply::Objects`].
    Read {
        /// The epoch.
        epoch: Epoch,
        /// Number of the last object seen, 0 for none.
        after: u64,
    },
}

/// Bridge to HyperNode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BoardReply {
    /// The object is durable under this number.
    Stored {
        /// Its number, from 1.
        number: u64,
    },
    /// Objects in order, as many as fit; ask again from the last number.
    Objects {
        /// (number, object).
        objects: Vec<(u64, BoardObject)>,
    },
    /// Refused.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people: the thing, expected and actual.
    #[serde(deserialize_with = "cut")]
    pub text: String,
}

/// Whoever refuses may say more than it should.
fn cut<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    String::deserialize(from).map(within_cap)
}

fn within_cap(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_TEXT_BYTES_MAX));
    text
}

impl Refusal {
    /// A refusal whose text is cut to its cap.
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        let text = within_cap(text.into());
        Self { code, text }
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.text)
    }
}

/// What kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefusalCode {
    /// The request makes no sense here or is out of bounds.
    BadRequest,
    /// No such region, epoch or object.
    NotFound,
    /// The agent's TPM failed or took too long.
    Tpm,
    /// A disk error, `disk full` among them.
    Storage,
    /// Out of the provider's limits just now.
    Busy,
    /// The sender is known but may not do this.
    NotAllowed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_are_bounded() {
        let request = AgentRequest::Probe {
            nonce: Nonce([1; 32]),
        };
        let bytes = frame(&request, 1024).unwrap();
        let header: [u8; HEADER_BYTES] = bytes[..HEADER_BYTES].try_into().unwrap();
        let length = payload_len(&header, 1024).unwrap();
        assert_eq!(length, bytes.len() - HEADER_BYTES);
        assert_eq!(
            message::<AgentRequest>(&bytes[HEADER_BYTES..]).unwrap(),
            request
        );
        assert!(matches!(
            payload_len(&header, 3),
            Err(FrameError::Oversize { max: 3, .. })
        ));
        assert!(matches!(
            frame(&request, 3),
            Err(FrameError::Oversize { .. })
        ));
    }

    #[test]
    fn wrong_magic_version_and_trailing_bytes_are_named() {
        assert!(matches!(
            payload_len(b"HTTP\x01\0\0\0\0", 9),
            Err(FrameError::Magic(_))
        ));
        assert!(matches!(
            payload_len(b"ASY1\x02\0\0\0\0", 9),
            Err(FrameError::Version(2))
        ));
        let mut payload = postcard::to_stdvec(&AgentRequest::Enrol).unwrap();
        payload.push(0);
        assert!(message::<AgentRequest>(&payload).is_err());
        assert!(message::<AgentRequest>(&[200]).is_err());
    }

    /// Requests are numbered by their place: what an older agent knows must stay what it knows.
    #[test]
    fn a_request_that_is_newer_is_no_other_request_to_an_older_agent() {
        let nonce = Nonce([1; 32]);
        let (epoch, beacon) = (Epoch(2), Beacon([3; 32]));
        let appraised = ImaAppraised {
            reset_count: 4,
            entries: 5,
        };
        let numbered = |request: &AgentRequest| postcard::to_stdvec(request).unwrap()[0];
        let attest = AgentRequest::Attest {
            nonce,
            epoch,
            beacon,
        };
        let after = AgentRequest::AttestAfter {
            nonce,
            epoch,
            beacon,
            appraised,
        };
        assert_eq!((numbered(&attest), numbered(&after)), (2, 9));
        let lineage = Vec::new();
        assert_eq!(numbered(&AgentRequest::Roster { lineage }), 10);
    }

    #[test]
    fn a_refusal_is_cut_at_a_character() {
        let refusal = Refusal::new(RefusalCode::Busy, "ä".repeat(400));
        assert_eq!(refusal.text.len(), ERROR_TEXT_BYTES_MAX);
        // One that says more than it should is cut when it is read.
        let text = "😀".repeat(4_000);
        let long = postcard::to_allocvec(&Refusal {
            code: RefusalCode::Busy,
            text,
        });
        let read: Refusal = postcard::from_bytes(&long.unwrap()).unwrap();
        assert_eq!(read.text, "😀".repeat(ERROR_TEXT_BYTES_MAX / 4));
    }
}
