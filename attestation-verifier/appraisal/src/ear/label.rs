//! Claim labels: CWT (RFC 8392), EAT (RFC 9711), EAR (draft-ietf-rats-ear section 4), and our private-use ones.

/// `iat`, issued at.
pub const IAT: i64 = 6;
/// `eat_nonce`.
pub const NONCE: i64 = 10;
/// `ueid`.
pub const UEID: i64 = 256;
/// `eat_profile`.
pub const PROFILE: i64 = 265;
/// `submods`.
pub const SUBMODS: i64 = 266;
/// `ear_status`.
pub const STATUS: i64 = 1000;
/// `ear_trustworthiness_vector`.
pub const TRUST_VECTOR: i64 = 1001;
/// `ear_raw_evidence`: not written; the digest of the evidence is.
pub const RAW_EVIDENCE: i64 = 1002;
/// `ear_appraisal_policy_ids`.
pub const POLICY_IDS: i64 = 1003;
/// `ear_verifier_id`.
pub const VERIFIER_ID: i64 = 1004;
/// `developer`, inside `ear_verifier_id`.
pub const DEVELOPER: i64 = 0;
/// `build`, inside `ear_verifier_id`.
pub const BUILD: i64 = 1;
/// Tier, 0 to 3.
pub const TIER: i64 = -76_001;
/// Digest of the policy, 32 bytes.
pub const POLICY: i64 = -76_002;
/// SHA-256 of the signed evidence.
pub const EVIDENCE: i64 = -76_003;
/// `[name, 0 pass | 1 fail | 2 undecided, expected, actual]` of each check.
pub const CHECKS: i64 = -76_004;
