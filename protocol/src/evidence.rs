//! Evidence: an EAT claims-set (RFC 9711) signed by the session key, quoted by the TPM (ARCHITECTURE section 6).
//!
//! The COSE payload is the plain claims-set, so that any EAT library reads it. The raw vendor evidence is a
//! CMW collection in the unprotected header; its SHA-256 is in the protected header, so the session signature
//! covers both, and the TPM's qualifying data covers the claims.

use crate::answers::{ChainLink, Counter};
use crate::cbor::{CborError, Field, Value, int_map};
use crate::cbor_map;
use crate::cose::{self, Authenticated, CoseError, Payload, PublicKey, Signer};
use crate::hash::{digest, sha256};
use crate::ids::{
    Address, AkName, Beacon, Digest, Epoch, HyperNodeId, NetworkId, NodeId, Nonce, SessionKey,
    UnixMs,
};
use crate::item::{Blob, Item};
use crate::limits::{
    COUNTERS_MAX, EVENT_LOG_BYTES_MAX, EVIDENCE_BYTES_MAX, NONCE_BATCH_MAX, TPM_STRUCTURE_BYTES_MAX,
};

/// `eat_profile` of this evidence.
pub const EAT_PROFILE: &str = "tag:assay.example,2026:evidence/1";
/// Protected header: SHA-256 of the CMW collection's bytes.
const HEADER_CMW_DIGEST: i64 = -70_001;
/// Unprotected header: the CMW collection as a byte string.
const HEADER_CMW: i64 = -70_002;
/// UEID type byte for a random-like identifier (RFC 9711 section 4.2.1).
const UEID_RAND: u8 = 0x01;

cbor_map! {
    /// TPMS_CLOCK_INFO as the agent read it; the quote carries the one that counts.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct TpmClock {
        /// Milliseconds.
        1 => clock_ms: u64,
        /// resetCount.
        2 => reset_count: u32,
        /// restartCount.
        3 => restart_count: u32,
        /// Whether the clock is known not to have gone back.
        4 => safe: bool,
    }
}

/// What the agent says, covered by the quote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Which HyperNode gave which nonce, at most 64 (claims 10 and −75006).
    pub nonces: Vec<(HyperNodeId, Nonce)>,
    /// The node (claim 256, as UEID).
    pub node: NodeId,
    /// Host uptime in seconds (claim 261).
    pub uptime_s: u64,
    /// Agent name and version (claims 270 and 271).
    pub software: (String, String),
    /// Epoch and beacon the agent was told (claim −75001).
    pub freshness: (Epoch, Beacon),
    /// Place in the session key's chain of answers (claim −75002).
    pub link: ChainLink,
    /// Agent-claimed counters (claim −75003).
    pub counters: Vec<Counter>,
    /// TPM clock (claim −75005).
    pub clock: TpmClock,
    /// The session key (claim −75007).
    pub session_key: SessionKey,
    /// The AK's name (claim −75008).
    pub ak_name: AkName,
    /// Network and provider account of the measured configuration (claim −75009).
    pub owner: (NetworkId, Address),
    /// SHA-256 of the event log beside the claims (claim −75010).
    pub event_log: Digest,
    /// The agent's clock, milliseconds (claim −75011).
    pub at: UnixMs,
}

/// Claims the schema keeps for later and this version refuses by name unless null.
const RESERVED: [(i64, &str); 4] = [
    (-75_004, "inventory digest"),
    (-75_012, "SEV-SNP report digest"),
    (-75_013, "IMA log digest"),
    (-75_014, "chip ids"),
];

impl Claims {
    fn value(&self) -> Value {
        let nonce = |(_, nonce): &(HyperNodeId, Nonce)| nonce.to_value();
        let eat_nonce = match self.nonces.as_slice() {
            [one] => nonce(one),
            several => Value::Array(several.iter().map(nonce).collect()),
        };
        let ueid = [&[UEID_RAND], &self.node.0[..]].concat();
        let mut entries = vec![
            (10, eat_nonce),
            (256, Value::Bytes(ueid)),
            (261, Value::Uint(self.uptime_s)),
            (265, Value::text(EAT_PROFILE)),
            (267, self.clock.reset_count.to_value()),
            (270, self.software.0.to_value()),
            (271, Value::Array(vec![self.software.1.to_value()])),
            (-75_001, self.freshness.to_value()),
            (-75_002, self.link.to_value()),
            (-75_003, self.counters.to_value()),
            (-75_005, self.clock.to_value()),
            (-75_006, self.nonces.to_value()),
            (-75_007, self.session_key.to_value()),
            (-75_008, self.ak_name.to_value()),
            (-75_009, self.owner.to_value()),
            (-75_010, self.event_log.to_value()),
            (-75_011, self.at.to_value()),
        ];
        entries.extend(RESERVED.map(|(key, _)| (key, Value::Null)));
        int_map(entries)
    }

    fn read(field: Field) -> Result<Self, CborError> {
        let original = field.into_value();
        let mut map = Field::new("claims", original.clone()).map()?;
        for (key, name) in RESERVED {
            map.take(key)?
                .equals(&Value::Null)
                .map_err(|_| CborError::Schema {
                    what: format!("claims: {name}"),
                    expected: "null (this version does not appraise it)".into(),
                    actual: "a value".into(),
                })?;
        }
        let ueid: [u8; 33] = map.take(256)?.fixed()?;
        let (_, node) = ueid.split_at(1);
        let schema = |what: &str, expected: &str| CborError::Schema {
            what: what.into(),
            expected: expected.into(),
            actual: "another value".into(),
        };
        let [version] = map.take(271)?.tuple()?;
        let claims = Self {
            nonces: Item::from_field(map.take(-75_006)?)?,
            node: NodeId::try_from(node).map_err(|_| schema("ueid", "33 bytes"))?,
            uptime_s: Item::from_field(map.take(261)?)?,
            software: (
                Item::from_field(map.take(270)?)?,
                Item::from_field(version)?,
            ),
            freshness: Item::from_field(map.take(-75_001)?)?,
            link: Item::from_field(map.take(-75_002)?)?,
            counters: Item::from_field(map.take(-75_003)?)?,
            clock: Item::from_field(map.take(-75_005)?)?,
            session_key: Item::from_field(map.take(-75_007)?)?,
            ak_name: Item::from_field(map.take(-75_008)?)?,
            owner: Item::from_field(map.take(-75_009)?)?,
            event_log: Item::from_field(map.take(-75_010)?)?,
            at: Item::from_field(map.take(-75_011)?)?,
        };
        if claims.nonces.is_empty() || claims.nonces.len() > NONCE_BATCH_MAX {
            return Err(schema("claims: nonces", "1 to 64 nonces"));
        }
        if claims.counters.len() > COUNTERS_MAX {
            return Err(schema("claims: counters", "at most 64 counters"));
        }
        // eat_nonce, profile, bootcount and UEID type repeat or fix what is read above: rebuild and compare.
        if claims.value().encode() != original.encode() {
            return Err(schema(
                "claims",
                "eat_nonce, ueid, profile and bootcount that agree with the rest, no further claim",
            ));
        }
        Ok(claims)
    }
}

/// Qualifying data of the quote: SHA-256(`"assay/quote/1"` ‖ claims bytes).
pub fn qualifying_data(claims_bytes: &[u8]) -> [u8; 32] {
    sha256(&[b"assay/quote/1", claims_bytes])
}

impl Payload for Claims {
    const TYP: &'static str =
        "application/eat+cwt; eat_profile=\"tag:assay.example,2026:evidence/1\"";
    const MAX_BYTES: usize = EVIDENCE_BYTES_MAX;
    fn to_value(&self) -> Value {
        self.value()
    }
    fn from_field(field: Field) -> Result<Self, CborError> {
        Self::read(field)
    }
    fn subject(&self) -> String {
        self.node.to_string()
    }
    fn issued_at_s(&self) -> u64 {
        self.at.0 / 1_000
    }
}

/// Raw vendor evidence, carried as a CMW collection (draft-ietf-rats-msg-wrap).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorEvidence {
    /// `tpm2-attest`: TPMS_ATTEST.
    pub attest: Blob,
    /// `tpm2-signature`: TPMT_SIGNATURE.
    pub signature: Blob,
    /// `tpm2-ak-public`: TPMT_PUBLIC.
    pub ak_public: Blob,
    /// `tpm2-pcrs`: SHA-256 bank, (index, value), ascending.
    pub pcrs: Vec<(u8, Digest)>,
    /// `tpm2-eventlog`: the binary TCG event log.
    pub event_log: Blob,
}

const CMW_TYPES: [(&str, &str); 5] = [
    ("tpm2-attest", "application/vnd.assay.tpms-attest"),
    ("tpm2-signature", "application/vnd.assay.tpmt-signature"),
    ("tpm2-ak-public", "application/vnd.assay.tpmt-public"),
    ("tpm2-pcrs", "application/vnd.assay.pcrs+cbor"),
    ("tpm2-eventlog", "application/vnd.assay.tcg-event-log"),
];

impl VendorEvidence {
    fn encode(&self) -> Vec<u8> {
        let parts = [
            self.attest.0.clone(),
            self.signature.0.clone(),
            self.ak_public.0.clone(),
            self.pcrs.encode(),
            self.event_log.0.clone(),
        ];
        let record = |((label, media), bytes): ((&str, &str), Vec<u8>)| {
            (
                Value::text(label),
                Value::Array(vec![Value::text(media), Value::Bytes(bytes)]),
            )
        };
        Value::Map(CMW_TYPES.into_iter().zip(parts).map(record).collect()).encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let value = Value::decode_bounded("CMW collection", EVIDENCE_BYTES_MAX, bytes)?;
        let mut map = Field::new("CMW collection", value).map()?;
        let mut part = |at: usize, max: usize| -> Result<Blob, CborError> {
            let (label, media) = CMW_TYPES.get(at).copied().unwrap_or_default();
            let [kind, value] = map.take_text(label)?.tuple()?;
            kind.equals(&Value::text(media))?;
            value.bytes(max).map(Blob)
        };
        let vendor = Self {
            attest: part(0, TPM_STRUCTURE_BYTES_MAX)?,
            signature: part(1, TPM_STRUCTURE_BYTES_MAX)?,
            ak_public: part(2, TPM_STRUCTURE_BYTES_MAX)?,
            pcrs: Item::decode(
                "tpm2-pcrs",
                TPM_STRUCTURE_BYTES_MAX,
                &part(3, TPM_STRUCTURE_BYTES_MAX)?.0,
            )?,
            event_log: part(4, EVENT_LOG_BYTES_MAX)?,
        };
        map.end()?;
        Ok(vendor)
    }
}

/// Evidence whose session signature was verified; nothing of the TPM was checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedEvidence {
    claims: Authenticated<Claims>,
    claims_bytes: Vec<u8>,
    vendor: VendorEvidence,
}

impl SignedEvidence {
    /// The claims.
    pub fn claims(&self) -> &Claims {
        self.claims.payload()
    }
    /// The claims' bytes as received: what the quote covers.
    pub fn claims_bytes(&self) -> &[u8] {
        &self.claims_bytes
    }
    /// The raw vendor evidence.
    pub fn vendor(&self) -> &VendorEvidence {
        &self.vendor
    }
    /// The whole signed evidence as received.
    pub fn bytes(&self) -> &[u8] {
        self.claims.bytes()
    }
    /// The session key that signed, equal to the one claimed.
    pub fn session_key(&self) -> SessionKey {
        self.claims().session_key
    }
}

/// The claims' bytes, as the quote must cover them before the evidence is sealed.
pub fn claims_bytes(claims: &Claims) -> Vec<u8> {
    claims.value().encode()
}

/// Signs claims and vendor evidence with the session key.
pub fn seal(claims: Claims, vendor: &VendorEvidence, session: &dyn Signer) -> Vec<u8> {
    let cmw = vendor.encode();
    let extra = [(HEADER_CMW_DIGEST, digest(&[&cmw]).to_value())];
    let unprotected = int_map([(HEADER_CMW, Value::Bytes(cmw))]);
    cose::seal_with(claims, session, &extra, unprotected)
        .bytes()
        .to_vec()
}

/// Opens evidence signed by `session`; the claimed session key must be the signer.
pub fn open(bytes: &[u8], session: &PublicKey) -> Result<SignedEvidence, CoseError> {
    let parts = cose::split(Claims::TYP, EVIDENCE_BYTES_MAX, bytes)?;
    let mut unprotected = Field::new("unprotected header", parts.unprotected.clone()).map()?;
    let cmw = unprotected.take(HEADER_CMW)?.bytes(EVIDENCE_BYTES_MAX)?;
    unprotected.end()?;
    let extra = [(HEADER_CMW_DIGEST, digest(&[&cmw]).to_value())];
    let claims_bytes = parts.payload.clone();
    let claims: Authenticated<Claims> = cose::open_parts(parts, bytes, session, &extra)?;
    if claims.payload().session_key.0 != *session {
        return Err(CoseError::Signature {
            typ: "claimed session key",
            key: hex::encode(session),
        });
    }
    let vendor = VendorEvidence::decode(&cmw)?;
    Ok(SignedEvidence {
        claims,
        claims_bytes,
        vendor,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cose::tests::TestKey;

    fn claims(session: &TestKey) -> Claims {
        Claims {
            nonces: vec![(HyperNodeId([1; 32]), Nonce([2; 32]))],
            node: NodeId([3; 32]),
            uptime_s: 4,
            software: ("assay-agent".into(), "0.1.0".into()),
            freshness: (Epoch(5), Beacon([6; 32])),
            link: ChainLink {
                sequence: 0,
                previous: Digest([0; 32]),
            },
            counters: vec![Counter {
                id: 5,
                scope: String::new(),
                value: 7,
            }],
            clock: TpmClock {
                clock_ms: 8,
                reset_count: 9,
                restart_count: 10,
                safe: true,
            },
            session_key: SessionKey(session.public_key()),
            ak_name: AkName([11; 34]),
            owner: (NetworkId([12; 32]), Address([13; 20])),
            event_log: Digest([14; 32]),
            at: UnixMs(15_000),
        }
    }

    fn vendor() -> VendorEvidence {
        VendorEvidence {
            attest: Blob(vec![1]),
            signature: Blob(vec![2]),
            ak_public: Blob(vec![3]),
            pcrs: vec![(0, Digest([4; 32]))],
            event_log: Blob(vec![5; 100]),
        }
    }

    #[test]
    fn round_trip_with_one_and_with_several_nonces() {
        let key = TestKey::new(1);
        let mut claims = claims(&key);
        for _ in 0..2 {
            let bytes = seal(claims.clone(), &vendor(), &key);
            let opened = open(&bytes, &key.public_key()).unwrap();
            assert_eq!(opened.claims(), &claims);
            assert_eq!(opened.vendor(), &vendor());
            assert_eq!(opened.claims_bytes(), claims_bytes(&claims));
            claims.nonces.push((HyperNodeId([2; 32]), Nonce([3; 32])));
        }
    }

    #[test]
    fn every_flipped_byte_is_refused() {
        let key = TestKey::new(1);
        let bytes = seal(claims(&key), &vendor(), &key);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(open(&bad, &key.public_key()).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_claimed_session_key_that_did_not_sign_is_refused() {
        let key = TestKey::new(1);
        let mut claims = claims(&key);
        claims.session_key = SessionKey([9; 32]);
        let bytes = seal(claims, &vendor(), &key);
        assert!(open(&bytes, &key.public_key()).is_err());
    }

    #[test]
    fn no_nonce_too_many_nonces_and_reserved_claims_are_refused() {
        let key = TestKey::new(1);
        let mut none = claims(&key);
        none.nonces.clear();
        assert!(open(&seal(none, &vendor(), &key), &key.public_key()).is_err());
        let mut many = claims(&key);
        many.nonces = vec![many.nonces[0]; 65];
        assert!(open(&seal(many, &vendor(), &key), &key.public_key()).is_err());
        let mut value = claims(&key).value();
        if let Value::Map(entries) = &mut value {
            for entry in entries
                .iter_mut()
                .filter(|(k, _)| *k == Value::int(-75_012))
            {
                entry.1 = Value::bytes([0; 32]);
            }
        }
        let error = Claims::read(Field::new("claims", value))
            .unwrap_err()
            .to_string();
        assert!(error.contains("SEV-SNP"), "{error}");
    }
}
