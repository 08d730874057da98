//! Every bound on what comes from outside, in one place. Checked before anything is allocated.

/// Longest transport frame between HyperNode and agent, in bytes.
pub const AGENT_FRAME_BYTES_MAX: usize = 7 * 1024 * 1024;
/// Longest transport frame between HyperNodes and the bridge, in bytes.
pub const BOARD_FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Longest request an agent reads from a HyperNode, in bytes.
pub const AGENT_REQUEST_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of region data in one `FillData` frame.
pub const FILL_CHUNK_BYTES_MAX: usize = 128 * 1024;
/// Most nonces (waiting HyperNodes) one quote may serve (ARCHITECTURE section 6).
pub const NONCE_BATCH_MAX: usize = 64;
/// Longest signed evidence, in bytes.
pub const EVIDENCE_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Longest event log inside evidence, in bytes.
pub const EVENT_LOG_BYTES_MAX: usize = 1024 * 1024;
/// Longest IMA measurement list, or part of one, inside evidence, in bytes.
pub const IMA_LIST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest SEV-SNP attestation report inside evidence, in bytes.
pub const SNP_REPORT_BYTES_MAX: usize = 4 * 1024;
/// Longest certificate table beside a SEV-SNP report, in bytes.
pub const SNP_CERTIFICATES_BYTES_MAX: usize = 32 * 1024;
/// Most processors whose chip ids a host may name.
pub const CHIP_IDS_MAX: usize = 8;
/// Longest certificate of a SEV-SNP chip or its issuers, in bytes.
pub const SNP_CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// Longest wait for a SEV-SNP report, in milliseconds: a HyperNode waits 20 s for evidence, TPM included.
pub const SNP_DEADLINE_MS_MAX: u64 = 10_000;
/// Longest request to a probe guest, in bytes.
pub const PROBE_GUEST_REQUEST_BYTES_MAX: usize = 128;
/// Longest reply of a probe guest, in bytes: a report, its table and what frames them.
pub const PROBE_GUEST_REPLY_BYTES_MAX: usize =
    SNP_REPORT_BYTES_MAX + SNP_CERTIFICATES_BYTES_MAX + 1024;
/// Longest inventory beside the claims, in bytes.
pub const INVENTORY_BYTES_MAX: usize = 32 * 1024;
/// Most disks, and most network interfaces, in an inventory.
pub const INVENTORY_DEVICES_MAX: usize = 32;
/// Longest text in an inventory, in bytes.
pub const INVENTORY_TEXT_BYTES_MAX: usize = 128;
/// Longest agent configuration file, in bytes.
pub const AGENT_CONFIG_BYTES_MAX: usize = 64 * 1024;
/// Longest EK certificate, NV padding included, in bytes.
pub const EK_CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// Longest marshalled TPM structure, in bytes.
pub const TPM_STRUCTURE_BYTES_MAX: usize = 4 * 1024;
/// Longest small signed object (probe answer, receipt, vote, commit), in bytes.
pub const SMALL_OBJECT_BYTES_MAX: usize = 64 * 1024;
/// Longest chase answer, in bytes.
pub const CHASE_ANSWER_BYTES_MAX: usize = 512 * 1024;
/// Longest outcome, in bytes.
pub const OUTCOME_BYTES_MAX: usize = 64 * 1024;
/// Longest text of an outcome, for people, in characters.
pub const OUTCOME_DETAIL_CHARS_MAX: usize = 400;
/// Most metrics of an outcome, and most pieces of raw evidence that it refers to. With these a proof about any outcome fits
/// a transaction (EIP-7825).
pub const OUTCOME_METRICS_MAX: usize = 16;
/// See [`OUTCOME_METRICS_MAX`].
pub const OUTCOME_EVIDENCE_MAX: usize = 64;
/// Longest media type of raw evidence, in bytes.
pub const MEDIA_TYPE_BYTES_MAX: usize = 128;
/// Longest report, in bytes.
pub const REPORT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most that a node's entry takes in a report besides one byte a slot, in bytes. The largest one takes some 300, as tests of
/// `report` encode it; the others are for what a later version adds.
pub const NODE_REPORT_BYTES_MAX: usize = 512;
/// Most region keys in a node's entry: of two periods.
pub const REGION_REVEALS_MAX: usize = 2;
/// Most that a signed reveal takes besides the entries of its report's nodes, in bytes. Two envelopes and ids take some 900.
pub const REVEAL_ROOM_BYTES: usize = 4_096;
/// Most nodes in one report.
pub const REPORT_NODES_MAX: usize = 20_000;
/// Most slots in one epoch.
pub const EPOCH_SLOTS_MAX: u32 = 4_096;
/// Most HyperNodes on a roster.
pub const ROSTER_MAX: usize = 1_024;
/// Most HyperNodes with a say at once: the seats of the stake contract.
pub const SEATS_MAX: usize = 128;
/// Longest lineage of rosters, network parameters included, in bytes: it fits a request to an agent.
pub const LINEAGE_BYTES_MAX: usize = 224 * 1024;
/// Most lanes of one chase.
pub const CHASE_LANES_MAX: u32 = 64;
/// Most steps of one lane.
pub const CHASE_STEPS_MAX: u32 = 1 << 20;
/// Most checkpoints of one chase answer, all lanes together.
pub const CHASE_CHECKPOINTS_MAX: u32 = 8_192;
/// Most blocks of one region.
pub const REGION_BLOCKS_MAX: u32 = 1 << 22;
/// Most counters in one answer.
pub const COUNTERS_MAX: usize = 160;
/// Most entries an unknown CBOR array or map may announce per byte of input left: one.
pub const CBOR_DEPTH_MAX: usize = 12;
/// Longest chain of seeds a registered end may commit to.
pub const SEED_CHAIN_MAX: u64 = 1 << 24;
/// Longest text of an error sent to a peer, in bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 512;
/// Most signatures under roots of an epoch that count of one HyperNode: one, and others when the root is corrected or an
/// earlier one is.
pub const ROOT_SIGNATURES_MAX: usize = 16;
/// Most objects of an epoch on the bridge's board: each HyperNode has five, and signatures under roots.
pub const BOARD_EPOCH_OBJECTS_MAX: usize = (5 + ROOT_SIGNATURES_MAX) * ROSTER_MAX;
/// Longest endpoint that the contracts take, in bytes.
pub const ENDPOINT_BYTES_MAX: usize = 256;
/// Most objects in one answer of the bridge's board.
pub const BOARD_OBJECTS_MAX: usize = 512;
