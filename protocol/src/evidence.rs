//! Evidence: an EAT claims-set (RFC 9711) signed by the session key, quoted by the TPM (ARCHITECTURE section 6).
//!
//! The COSE payload is the plain claims-set, so that any EAT library reads it. The raw vendor evidence is a
//! CMW collection in the unprotected header; its SHA-256 is in the protected header, so the session signature
//! covers both, and the TPM's qualifying data covers the claims.

use crate::answers::{ChainLink, Counter};
use crate::cbor::{CborError, Field, Fields, Value, int_map};
use crate::cbor_map;
use crate::cose::{self, Authenticated, CoseError, Payload, PublicKey, Signer};
use crate::hash::{digest, sha256, sha512};
use crate::ids::{
    Address, AkName, Beacon, ChipId, Digest, Epoch, HyperNodeId, NetworkId, NodeId, Nonce,
    SessionKey, UnixMs,
};
use crate::item::{Blob, Item};
use crate::limits::{
    CHIP_IDS_MAX, COUNTERS_MAX, EVENT_LOG_BYTES_MAX, EVIDENCE_BYTES_MAX, IMA_LIST_BYTES_MAX,
    INVENTORY_BYTES_MAX, NONCE_BATCH_MAX, SNP_CERTIFICATES_BYTES_MAX, SNP_REPORT_BYTES_MAX,
    TPM_STRUCTURE_BYTES_MAX,
};
use std::collections::BTreeSet;

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

cbor_map! {
    /// Which part of the IMA measurement list is beside the claims.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ImaClaim {
        /// SHA-256 of the bytes beside the claims.
        1 => digest: Digest,
        /// Entries of this boot before the first one carried.
        2 => first: u64,
        /// Entries carried.
        3 => count: u64,
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
    /// SHA-256 of the inventory beside the claims, when there is one (claim −75004).
    pub inventory: Option<Digest>,
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
    /// SHA-256 of the SEV-SNP report beside the claims, when there is one (claim −75012).
    pub snp_report: Option<Digest>,
    /// The part of the IMA list beside the claims, when there is one (claim −75013).
    pub ima: Option<ImaClaim>,
    /// Chip ids of all sockets, as the agent read them on the host (claim −75014); nothing where it cannot.
    pub chip_ids: Option<Vec<ChipId>>,
}

/// Digest over the ids of a machine's processors: SHA-256("assay/chips/1" ‖ ids, ascending, each once).
pub fn chips_digest(ids: &[ChipId]) -> Digest {
    let ids: BTreeSet<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
    let parts: Vec<&[u8]> = [&b"assay/chips/1"[..]].into_iter().chain(ids).collect();
    digest(&parts)
}

/// Claim 10 (RFC 9711 section 4.1): one nonce, or an array of several.
fn eat_nonce(nonces: &[(HyperNodeId, Nonce)]) -> Value<'_> {
    match nonces {
        [(_, one)] => one.to_value(),
        several => Value::Array(several.iter().map(|(_, nonce)| nonce.to_value()).collect()),
    }
}

fn schema(what: &str, expected: &str) -> CborError {
    CborError::Schema {
        what: format!("claims: {what}"),
        expected: expected.into(),
        actual: "another value".into(),
    }
}

impl Claims {
    fn value(&self) -> Value<'_> {
        let ueid = [&[UEID_RAND], &self.node.0[..]].concat();
        int_map([
            (10, eat_nonce(&self.nonces)),
            (256, Value::Bytes(ueid.into())),
            (261, Value::Uint(self.uptime_s)),
            (265, Value::text(EAT_PROFILE)),
            (267, self.clock.reset_count.to_value()),
            (270, self.software.0.to_value()),
            (271, Value::Array(vec![self.software.1.to_value()])),
            (-75_001, self.freshness.to_value()),
            (-75_002, self.link.to_value()),
            (-75_003, self.counters.to_value()),
            (-75_004, self.inventory.to_value()),
            (-75_005, self.clock.to_value()),
            (-75_006, self.nonces.to_value()),
            (-75_007, self.session_key.to_value()),
            (-75_008, self.ak_name.to_value()),
            (-75_009, self.owner.to_value()),
            (-75_010, self.event_log.to_value()),
            (-75_011, self.at.to_value()),
            (-75_012, self.snp_report.to_value()),
            (-75_013, self.ima.to_value()),
            (-75_014, self.chip_ids.to_value()),
        ])
    }

    /// Takes the claims in the order of their keys, which is the order they travel in.
    fn read(field: Field<'_>) -> Result<Self, CborError> {
        let mut map = Field::new("claims", field.into_value()).map()?;
        // These four repeat or fix what other claims say, and are compared at the end.
        let eat_nonce_given = map.take(10)?;
        let [UEID_RAND, node @ ..] = map.take(256)?.fixed::<33>()? else {
            return Err(schema("ueid", "the type byte 0x01 and 32 bytes"));
        };
        let uptime_s = Item::from_field(map.take(261)?)?;
        let profile = map.take(265)?;
        let boot_count = map.take(267)?;
        let name = Item::from_field(map.take(270)?)?;
        let [version] = map.take(271)?.tuple()?;
        let freshness = Item::from_field(map.take(-75_001)?)?;
        let link = Item::from_field(map.take(-75_002)?)?;
        let counters = Item::from_field(map.take(-75_003)?)?;
        let inventory = Item::from_field(map.take(-75_004)?)?;
        let claims = Self {
            node: NodeId(node),
            uptime_s,
            software: (name, Item::from_field(version)?),
            freshness,
            link,
            counters,
            inventory,
            clock: Item::from_field(map.take(-75_005)?)?,
            nonces: Item::from_field(map.take(-75_006)?)?,
            session_key: Item::from_field(map.take(-75_007)?)?,
            ak_name: Item::from_field(map.take(-75_008)?)?,
            owner: Item::from_field(map.take(-75_009)?)?,
            event_log: Item::from_field(map.take(-75_010)?)?,
            at: Item::from_field(map.take(-75_011)?)?,
            snp_report: Item::from_field(map.take(-75_012)?)?,
            ima: Item::from_field(map.take(-75_013)?)?,
            chip_ids: Item::from_field(map.take(-75_014)?)?,
        };
        map.end()?;
        eat_nonce_given.equals(&eat_nonce(&claims.nonces))?;
        profile.equals(&Value::text(EAT_PROFILE))?;
        boot_count.equals(&claims.clock.reset_count.to_value())?;
        claims.within_bounds()?;
        Ok(claims)
    }

    fn within_bounds(&self) -> Result<(), CborError> {
        let chips = self.chip_ids.as_ref().map_or(1, Vec::len);
        if !(1..=CHIP_IDS_MAX).contains(&chips) {
            return Err(schema("chip ids", "null or 1 to 8 chip ids"));
        }
        if self.nonces.is_empty() || self.nonces.len() > NONCE_BATCH_MAX {
            return Err(schema("nonces", "1 to 64 nonces"));
        }
        if self.counters.len() > COUNTERS_MAX {
            return Err(schema("counters", "at most 160 counters"));
        }
        Ok(())
    }
}

/// What a SEV-SNP report binds of the nonces: SHA-256 over the list of (HyperNode id, nonce), in the order of the
/// claims.
pub fn nonce_batch(nonces: &[(HyperNodeId, Nonce)]) -> Digest {
    let parts: Vec<&[u8]> = nonces
        .iter()
        .flat_map(|(hypernode, nonce)| [&hypernode.0[..], &nonce.0[..]])
        .collect();
    digest(&parts)
}

/// `report_data` of a SEV-SNP report: SHA-512(`"assay/snp/1"` ‖ batch ‖ session key ‖ AK name).
pub fn snp_report_data(batch: &Digest, session: &SessionKey, ak_name: &AkName) -> [u8; 64] {
    sha512(&[b"assay/snp/1", &batch.0, &session.0, &ak_name.0])
}

/// Qualifying data of the quote: SHA-256(`"assay/quote/1"` ‖ claims bytes).
pub fn qualifying_data(claims_bytes: &[u8]) -> [u8; 32] {
    sha256(&[b"assay/quote/1", claims_bytes])
}

impl Payload for Claims {
    const TYP: &'static str =
        "application/eat+cwt; eat_profile=\"tag:assay.example,2026:evidence/1\"";
    const MAX_BYTES: usize = EVIDENCE_BYTES_MAX;
    fn to_value(&self) -> Value<'_> {
        self.value()
    }
    fn from_field(field: Field<'_>) -> Result<Self, CborError> {
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
    /// `ima-log`: the binary IMA measurement list, or the part of it that the claims name.
    pub ima_log: Option<Blob>,
    /// `sev-snp-report` and `sev-snp-certs`.
    pub snp: Option<SnpEvidence>,
    /// `inventory`: an [`Inventory`](crate::inventory::Inventory), encoded.
    pub inventory: Option<Blob>,
}

/// A SEV-SNP report with the endorsements the host gave with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpEvidence {
    /// ATTESTATION_REPORT, as the firmware made it.
    pub report: Blob,
    /// The certificate table of the extended report (GHCB specification, section 4.1.8.1), as the host gave it.
    pub certificates: Blob,
}

cbor_map! {
    /// AMD's certificates for a SEV-SNP report whose evidence does not bring them, as a HyperNode found them. They
    /// prove nothing of themselves: the appraisal verifies them under pinned roots.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct AmdChain {
        /// The chip's key, DER.
        1 => vcek: Blob,
        /// Its issuer, DER.
        2 => ask: Blob,
        /// The root, DER.
        3 => ark: Blob,
    }
}

/// One part of the CMW collection: its label, media type and cap.
type Part = (&'static str, &'static str, usize);

const ATTEST: Part = (
    "tpm2-attest",
    "application/vnd.assay.tpms-attest",
    TPM_STRUCTURE_BYTES_MAX,
);
const SIGNATURE: Part = (
    "tpm2-signature",
    "application/vnd.assay.tpmt-signature",
    TPM_STRUCTURE_BYTES_MAX,
);
const AK_PUBLIC: Part = (
    "tpm2-ak-public",
    "application/vnd.assay.tpmt-public",
    TPM_STRUCTURE_BYTES_MAX,
);
const PCRS: Part = (
    "tpm2-pcrs",
    "application/vnd.assay.pcrs+cbor",
    TPM_STRUCTURE_BYTES_MAX,
);
const EVENT_LOG: Part = (
    "tpm2-eventlog",
    "application/vnd.assay.tcg-event-log",
    EVENT_LOG_BYTES_MAX,
);
const IMA_LOG: Part = (
    "ima-log",
    "application/vnd.assay.ima-list",
    IMA_LIST_BYTES_MAX,
);
const SNP_REPORT: Part = (
    "sev-snp-report",
    "application/vnd.assay.sev-snp-report",
    SNP_REPORT_BYTES_MAX,
);
const SNP_CERTIFICATES: Part = (
    "sev-snp-certs",
    "application/vnd.assay.sev-cert-table",
    SNP_CERTIFICATES_BYTES_MAX,
);
const INVENTORY: Part = (
    "inventory",
    "application/vnd.assay.inventory+cbor",
    INVENTORY_BYTES_MAX,
);

impl VendorEvidence {
    fn encode(&self) -> Vec<u8> {
        let pcrs = self.pcrs.encode();
        let parts = [
            (ATTEST, Some(&self.attest.0)),
            (SIGNATURE, Some(&self.signature.0)),
            (AK_PUBLIC, Some(&self.ak_public.0)),
            (PCRS, Some(&pcrs)),
            (EVENT_LOG, Some(&self.event_log.0)),
            (IMA_LOG, self.ima_log.as_ref().map(|log| &log.0)),
            (SNP_REPORT, self.snp.as_ref().map(|snp| &snp.report.0)),
            (
                SNP_CERTIFICATES,
                self.snp.as_ref().map(|snp| &snp.certificates.0),
            ),
            (INVENTORY, self.inventory.as_ref().map(|bytes| &bytes.0)),
        ];
        let records = parts.into_iter().filter_map(|((label, media, _), bytes)| {
            let bytes = Value::Bytes(bytes?.into());
            Some((
                Value::text(label),
                Value::Array(vec![Value::text(media), bytes]),
            ))
        });
        Value::Map(records.collect()).encode()
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let value = Value::decode_bounded("CMW collection", EVIDENCE_BYTES_MAX, bytes)?;
        let mut map = Field::new("CMW collection", value).map()?;
        let pcrs = required(&mut map, PCRS)?;
        let report = optional(&mut map, SNP_REPORT)?;
        let certificates = optional(&mut map, SNP_CERTIFICATES)?;
        let snp = match (report, certificates) {
            (Some(report), Some(certificates)) => Some(SnpEvidence {
                report,
                certificates,
            }),
            (None, None) => None,
            _ => {
                return Err(CborError::Schema {
                    what: "CMW collection".into(),
                    expected: "a SEV-SNP report and its certificates, or neither".into(),
                    actual: "one of them".into(),
                });
            }
        };
        let vendor = Self {
            attest: required(&mut map, ATTEST)?,
            signature: required(&mut map, SIGNATURE)?,
            ak_public: required(&mut map, AK_PUBLIC)?,
            pcrs: Item::decode("tpm2-pcrs", TPM_STRUCTURE_BYTES_MAX, &pcrs.0)?,
            event_log: required(&mut map, EVENT_LOG)?,
            ima_log: optional(&mut map, IMA_LOG)?,
            snp,
            inventory: optional(&mut map, INVENTORY)?,
        };
        map.end()?;
        Ok(vendor)
    }
}

fn required(map: &mut Fields<'_>, part: Part) -> Result<Blob, CborError> {
    read_part(map.take_text(part.0)?, part)
}

fn optional(map: &mut Fields<'_>, part: Part) -> Result<Option<Blob>, CborError> {
    let field = map.optional_text(part.0);
    field.map(|field| read_part(field, part)).transpose()
}

fn read_part(field: Field<'_>, (_, media, max): Part) -> Result<Blob, CborError> {
    let [kind, value] = field.tuple()?;
    kind.equals(&Value::text(media))?;
    value.bytes(max).map(|bytes| Blob(bytes.into_owned()))
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
    let cmw_digest = digest(&[&cmw]);
    let extra = [(HEADER_CMW_DIGEST, cmw_digest.to_value())];
    let unprotected = int_map([(HEADER_CMW, Value::Bytes(cmw.into()))]);
    cose::seal_with(claims, session, &extra, unprotected)
        .bytes()
        .to_vec()
}

/// Opens evidence signed by `session`; the claimed session key must be the signer.
pub fn open(bytes: &[u8], session: &PublicKey) -> Result<SignedEvidence, CoseError> {
    let mut parts = cose::split(Claims::TYP, EVIDENCE_BYTES_MAX, bytes)?;
    let unprotected = core::mem::replace(&mut parts.unprotected, Value::Null);
    let mut unprotected = Field::new("unprotected header", unprotected).map()?;
    let cmw = unprotected.take(HEADER_CMW)?.bytes(EVIDENCE_BYTES_MAX)?;
    unprotected.end()?;
    let cmw_digest = digest(&[&cmw]);
    let extra = [(HEADER_CMW_DIGEST, cmw_digest.to_value())];
    let claims_bytes = parts.payload.to_vec();
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
            inventory: None,
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
            snp_report: None,
            ima: None,
            chip_ids: None,
        }
    }

    fn vendor() -> VendorEvidence {
        VendorEvidence {
            attest: Blob(vec![1]),
            signature: Blob(vec![2]),
            ak_public: Blob(vec![3]),
            pcrs: vec![(0, Digest([4; 32]))],
            event_log: Blob(vec![5; 100]),
            ima_log: None,
            snp: None,
            inventory: None,
        }
    }

    /// Everything that may be absent is there.
    fn complete(session: &TestKey) -> (Claims, VendorEvidence) {
        let ima = ImaClaim {
            digest: Digest([16; 32]),
            first: 17,
            count: 18,
        };
        let claims = Claims {
            inventory: Some(Digest([25; 32])),
            snp_report: Some(Digest([19; 32])),
            ima: Some(ima),
            chip_ids: Some(vec![ChipId([20; 64]), ChipId([21; 64])]),
            ..claims(session)
        };
        let vendor = VendorEvidence {
            ima_log: Some(Blob(vec![22; 100])),
            snp: Some(SnpEvidence {
                report: Blob(vec![23; 1184]),
                certificates: Blob(vec![24; 100]),
            }),
            inventory: Some(Blob(vec![26; 100])),
            ..vendor()
        };
        (claims, vendor)
    }

    #[test]
    fn the_digest_over_chips_knows_no_order_and_no_repetition() {
        let [a, b] = [1, 2].map(|byte| ChipId([byte; 64]));
        let both = chips_digest(&[a, b]);
        assert_eq!(chips_digest(&[b, a]), both);
        assert_eq!(chips_digest(&[b, a, b]), both);
        assert_ne!(chips_digest(&[a]), both);
        assert_eq!(
            both,
            digest(&[b"assay/chips/1", &[1; 64], &[2; 64]]),
            "label and ids"
        );
    }

    #[test]
    fn what_may_be_absent_round_trips_when_it_is_there() {
        let key = TestKey::new(1);
        let (claims, vendor) = complete(&key);
        let bytes = seal(claims.clone(), &vendor, &key);
        let opened = open(&bytes, &key.public_key()).unwrap();
        assert_eq!((opened.claims(), opened.vendor()), (&claims, &vendor));
    }

    #[test]
    fn no_chip_id_too_many_and_half_of_the_snp_evidence_are_refused() {
        let key = TestKey::new(1);
        let (good, vendor) = complete(&key);
        for count in [0, CHIP_IDS_MAX + 1] {
            let mut claims = good.clone();
            claims.chip_ids = Some(vec![ChipId([1; 64]); count]);
            assert!(open(&seal(claims, &vendor, &key), &key.public_key()).is_err());
        }
        for label in [SNP_REPORT.0, SNP_CERTIFICATES.0] {
            let encoded = vendor.encode();
            let Value::Map(mut entries) = Value::decode(&encoded).unwrap() else {
                panic!("a CMW collection is a map");
            };
            entries.retain(|(key, _)| *key != Value::text(label));
            let error = VendorEvidence::decode(&Value::Map(entries).encode()).unwrap_err();
            assert!(error.to_string().contains("or neither"), "{error}");
        }
    }

    #[test]
    fn report_data_binds_every_nonce_the_session_and_the_attestation_key() {
        let nonces = [(HyperNodeId([1; 32]), Nonce([2; 32]))];
        let two = [nonces[0], (HyperNodeId([3; 32]), Nonce([4; 32]))];
        let batch = nonce_batch(&nonces);
        assert_eq!(batch, digest(&[&[1; 32], &[2; 32]]));
        let of = |batch: &Digest, session: u8, ak: u8| {
            snp_report_data(batch, &SessionKey([session; 32]), &AkName([ak; 34]))
        };
        let base = of(&batch, 5, 6);
        let mut preimage = b"assay/snp/1".to_vec();
        preimage.extend([&batch.0[..], &[5; 32], &[6; 34]].concat());
        assert_eq!(base, sha512(&[&preimage]));
        for other in [
            of(&nonce_batch(&two), 5, 6),
            of(&batch, 7, 6),
            of(&batch, 5, 7),
        ] {
            assert_ne!(other, base);
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
    fn no_nonce_and_too_many_nonces_are_refused() {
        let key = TestKey::new(1);
        let mut none = claims(&key);
        none.nonces.clear();
        assert!(open(&seal(none, &vendor(), &key), &key.public_key()).is_err());
        let mut many = claims(&key);
        many.nonces = vec![many.nonces[0]; 65];
        assert!(open(&seal(many, &vendor(), &key), &key.public_key()).is_err());
    }

    #[test]
    fn as_many_counters_as_an_agent_may_tell_are_read_and_one_more_is_refused() {
        let key = TestKey::new(1);
        let with = |count| {
            let mut claims = claims(&key);
            claims.counters = vec![claims.counters[0].clone(); count];
            open(&seal(claims, &vendor(), &key), &key.public_key())
        };
        assert_eq!(
            with(COUNTERS_MAX).unwrap().claims().counters.len(),
            COUNTERS_MAX
        );
        let error = with(COUNTERS_MAX + 1).unwrap_err().to_string();
        assert!(
            error.contains(&format!("at most {COUNTERS_MAX} counters")),
            "{error}"
        );
    }

    #[test]
    fn an_inventory_longer_than_its_cap_is_refused() {
        let vendor = |length| VendorEvidence {
            inventory: Some(Blob(vec![0; length])),
            ..vendor()
        };
        let (longest, longer) = (vendor(INVENTORY_BYTES_MAX), vendor(INVENTORY_BYTES_MAX + 1));
        assert_eq!(VendorEvidence::decode(&longest.encode()), Ok(longest));
        assert!(VendorEvidence::decode(&longer.encode()).is_err());
    }

    /// Under a good signature too: each of these could tell another reader another thing.
    #[test]
    fn claims_that_repeat_others_must_agree_and_further_ones_are_refused() {
        let key = TestKey::new(1);
        let two = [
            (HyperNodeId([1; 32]), Nonce([2; 32])),
            (HyperNodeId([3; 32]), Nonce([4; 32])),
        ];
        for nonces in [&two[..1], &two] {
            let good = Claims {
                nonces: nonces.to_vec(),
                ..claims(&key)
            };
            let Value::Map(entries) = good.value() else {
                panic!("claims are a map");
            };
            let read = |entries| Claims::read(Field::new("claims", Value::Map(entries)));
            assert_eq!(read(entries.clone()), Ok(good.clone()));
            let others = [
                (10, Value::bytes([9; 32])),
                (
                    10,
                    Value::Array(vec![Value::bytes([4; 32]), Value::bytes([2; 32])]),
                ),
                (256, Value::bytes([&[2], &good.node.0[..]].concat())),
                (265, Value::text("tag:assay.example,2026:evidence/2")),
                (267, Value::Uint(u64::from(good.clock.reset_count) + 1)),
            ];
            for (label, value) in others {
                let mut changed = entries.clone();
                let entry = changed
                    .iter_mut()
                    .find(|(key, _)| *key == Value::int(label));
                entry.unwrap().1 = value;
                assert!(read(changed).is_err(), "{label}");
            }
            for at in 0..entries.len() {
                let mut missing = entries.clone();
                let (label, _) = missing.remove(at);
                assert!(read(missing).is_err(), "without {label:?}");
            }
            let mut more = entries;
            more.push((Value::int(-75_015), Value::Null));
            assert!(read(more).is_err());
        }
    }
}
