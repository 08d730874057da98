//! What an agent (or, for control probes, a HyperNode) signs with its session key, besides evidence.

use crate::chase::{ChasePlan, LaneState};
use crate::ids::{AkName, Digest, HyperNodeId, NetworkId, NodeId, Nonce, UnixMs};
use crate::item::Blob;
use crate::limits::{CHASE_ANSWER_BYTES_MAX, SMALL_OBJECT_BYTES_MAX};
use crate::region::RegionId;
use crate::{cbor_map, signed_payload};

cbor_map! {
    /// Place in the hash chain of a session key's answers: a gap is a signal, not proof.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct ChainLink {
        /// Number of the answer, from 0 for each session key.
        1 => sequence: u64,
        /// SHA-256 of the previous signed answer, zeros for the first.
        2 => previous: Digest,
    }
}

cbor_map! {
    /// One agent-claimed counter. Never pays, never slashes (ARCHITECTURE section 6).
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Counter {
        /// Which, see [`counter`].
        1 => id: u16,
        /// Device or scope it speaks of.
        2 => scope: String,
        /// Its value.
        3 => value: u64,
    }
}

/// Registry of counters; each has its unit in its name.
pub mod counter {
    /// Reads completed by a block device, count.
    pub const DISK_READ_IOS: u16 = 1;
    /// Bytes read from a block device.
    pub const DISK_READ_BYTES: u16 = 2;
    /// Writes completed by a block device, count.
    pub const DISK_WRITE_IOS: u16 = 3;
    /// Bytes written to a block device.
    pub const DISK_WRITE_BYTES: u16 = 4;
    /// Time since the host booted, milliseconds.
    pub const UPTIME_MS: u16 = 5;
    /// Time the host's CPUs were stolen by a hypervisor, milliseconds.
    pub const STEAL_MS: u16 = 6;
    /// Region reads done by this agent since it started, count.
    pub const REGION_READ_IOS: u16 = 7;
    /// Bytes received by a network interface.
    pub const NIC_RX_BYTES: u16 = 8;
    /// Bytes sent by a network interface.
    pub const NIC_TX_BYTES: u16 = 9;
    /// Time in which some task waited for a CPU, microseconds (pressure stall information).
    pub const PRESSURE_CPU_SOME_US: u16 = 10;
    /// Time in which some task waited for memory, microseconds.
    pub const PRESSURE_MEMORY_SOME_US: u16 = 11;
    /// Time in which all tasks waited for memory, microseconds.
    pub const PRESSURE_MEMORY_FULL_US: u16 = 12;
    /// Time in which some task waited for IO, microseconds.
    pub const PRESSURE_IO_SOME_US: u16 = 13;
    /// Time in which all tasks waited for IO, microseconds.
    pub const PRESSURE_IO_FULL_US: u16 = 14;
    /// Memory errors that were corrected, of all controllers, count.
    pub const MEMORY_ERRORS_CORRECTED: u16 = 15;
    /// Memory errors that were not corrected, of all controllers, count.
    pub const MEMORY_ERRORS_UNCORRECTED: u16 = 16;
    /// Times a CPU was slowed down because it was hot, of all CPUs, count.
    pub const CPU_THROTTLES: u16 = 17;
    /// Energy that the processor packages used since the agent started, microjoules.
    pub const CPU_ENERGY_UJ: u16 = 18;
    /// When the counters of NVMe controllers were read: time since the host booted, milliseconds.
    pub const NVME_READ_AT_UPTIME_MS: u16 = 19;
    /// An NVMe controller's critical warnings, as bits (NVM Express Base Specification 2.0, figure 207, as all of these).
    pub const NVME_CRITICAL_WARNING_BITS: u16 = 20;
    /// An NVMe controller's composite temperature, kelvin.
    pub const NVME_TEMPERATURE_K: u16 = 21;
    /// Spare capacity that an NVMe controller has left, percent.
    pub const NVME_AVAILABLE_SPARE_PERCENT: u16 = 22;
    /// Life of an NVMe controller's media that is used, as its vendor estimates it, percent; goes on beyond 100.
    pub const NVME_USED_PERCENT: u16 = 23;
    /// Bytes read from an NVMe controller, which counts units of 512,000, rounded up.
    pub const NVME_READ_BYTES: u16 = 24;
    /// Bytes written to an NVMe controller, which counts units of 512,000, rounded up.
    pub const NVME_WRITE_BYTES: u16 = 25;
    /// Reads completed by an NVMe controller, count.
    pub const NVME_READ_IOS: u16 = 26;
    /// Writes completed by an NVMe controller, count.
    pub const NVME_WRITE_IOS: u16 = 27;
    /// Times an NVMe controller's power came, count.
    pub const NVME_POWER_CYCLES: u16 = 28;
    /// Time an NVMe controller was under power, hours.
    pub const NVME_POWER_ON_HOURS: u16 = 29;
    /// Times an NVMe controller's power went without notice, count.
    pub const NVME_UNSAFE_SHUTDOWNS: u16 = 30;
    /// Errors that an NVMe controller could not correct, count.
    pub const NVME_MEDIA_ERRORS: u16 = 31;

    /// The name of a counter, with its unit; nothing for an id that this version does not know.
    pub fn name(id: u16) -> Option<&'static str> {
        const NAMES: [&str; 31] = [
            "disk_read_ios",
            "disk_read_bytes",
            "disk_write_ios",
            "disk_write_bytes",
            "uptime_ms",
            "steal_ms",
            "region_read_ios",
            "nic_rx_bytes",
            "nic_tx_bytes",
            "pressure_cpu_some_us",
            "pressure_memory_some_us",
            "pressure_memory_full_us",
            "pressure_io_some_us",
            "pressure_io_full_us",
            "memory_errors_corrected",
            "memory_errors_uncorrected",
            "cpu_throttles",
            "cpu_energy_uj",
            "nvme_read_at_uptime_ms",
            "nvme_critical_warning_bits",
            "nvme_temperature_k",
            "nvme_available_spare_percent",
            "nvme_used_percent",
            "nvme_read_bytes",
            "nvme_write_bytes",
            "nvme_read_ios",
            "nvme_write_ios",
            "nvme_power_cycles",
            "nvme_power_on_hours",
            "nvme_unsafe_shutdowns",
            "nvme_media_errors",
        ];
        NAMES.get(usize::from(id).checked_sub(1)?).copied()
    }
}

cbor_map! {
    /// Answer to a `probe`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ProbeAnswer {
        /// The node that answers.
        1 => node: NodeId,
        /// The nonce asked.
        2 => nonce: Nonce,
        /// Place in the chain of answers.
        3 => link: ChainLink,
        /// Agent-claimed counters.
        4 => counters: Vec<Counter>,
        /// The agent's clock.
        5 => at: UnixMs,
    }
}
signed_payload!(
    ProbeAnswer,
    "application/vnd.assay.probe-answer+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.node,
    p.at
);

cbor_map! {
    /// The agent's receipt for a `fill`: what it wrote, by the Merkle root of the blocks it received.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct FillReceipt {
        /// The network.
        1 => network: NetworkId,
        /// The node that wrote.
        2 => node: NodeId,
        /// Whose region.
        3 => hypernode: HyperNodeId,
        /// Region number.
        4 => region: u32,
        /// Generation.
        5 => generation: u64,
        /// Hash of the region key, given before the first block.
        6 => key_hash: Digest,
        /// Blocks of 4 KiB received and made durable.
        7 => blocks: u32,
        /// RFC 9162 root over the blocks received.
        8 => root: Digest,
        /// Place in the chain of answers.
        9 => link: ChainLink,
        /// The agent's clock.
        10 => at: UnixMs,
    }
}
signed_payload!(
    FillReceipt,
    "application/vnd.assay.fill-receipt+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.node,
    p.at
);

cbor_map! {
    /// The HyperNode's signature over the agent's signed receipt: both sides now hold the same one.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Countersigned {
        /// The node.
        1 => node: NodeId,
        /// The signed [`FillReceipt`], byte for byte.
        2 => receipt: Blob,
        /// The HyperNode's clock.
        3 => at: UnixMs,
    }
}
signed_payload!(
    Countersigned,
    "application/vnd.assay.countersigned-receipt+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.node,
    p.at
);

cbor_map! {
    /// Answer to a `chase`.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ChaseAnswer {
        /// The node that answers.
        1 => node: NodeId,
        /// The nonce asked.
        2 => nonce: Nonce,
        /// Region number.
        3 => region: u32,
        /// Generation.
        4 => generation: u64,
        /// Blocks in the region.
        5 => blocks: u32,
        /// Reads per lane.
        6 => steps: u32,
        /// Steps between checkpoints.
        7 => checkpoint_every: u32,
        /// For each lane its checkpoints, 32 bytes each, the final state last.
        8 => lanes: Vec<Blob>,
        /// Place in the chain of answers.
        9 => link: ChainLink,
        /// Agent-claimed counters, after the last read.
        10 => counters: Vec<Counter>,
        /// The agent's clock.
        11 => at: UnixMs,
        /// Agent-claimed counters, before the first read.
        12 => counters_before: Vec<Counter>,
    }
}
signed_payload!(
    ChaseAnswer,
    "application/vnd.assay.chase-answer-3+cbor",
    CHASE_ANSWER_BYTES_MAX,
    |p| p.node,
    p.at
);

impl ChaseAnswer {
    /// The plan this answer says it followed.
    pub fn plan(&self) -> ChasePlan {
        ChasePlan {
            id: RegionId {
                region: self.region,
                generation: self.generation,
            },
            blocks: self.blocks,
            lanes: u32::try_from(self.lanes.len()).unwrap_or(u32::MAX),
            steps: self.steps,
            checkpoint_every: self.checkpoint_every,
        }
    }

    /// One lane's checkpoints as they are sent: concatenated.
    pub fn lane_blob(states: &[LaneState]) -> Blob {
        Blob(states.concat())
    }
}

cbor_map! {
    /// A HyperNode's answer to another HyperNode's control probe.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct ControlAnswer {
        /// Who answers.
        1 => hypernode: HyperNodeId,
        /// The nonce asked.
        2 => nonce: Nonce,
        /// Its clock.
        3 => at: UnixMs,
    }
}
signed_payload!(
    ControlAnswer,
    "application/vnd.assay.control-answer+cbor",
    SMALL_OBJECT_BYTES_MAX,
    |p| p.hypernode,
    p.at
);

cbor_map! {
    /// What a HyperNode keeps of a successful enrolment: enough to appraise the node's quotes again.
    /// Credential activation itself is this HyperNode's word: only it saw the secret come back.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct EnrolRecord {
        /// The node, derived from the EK certificate.
        1 => node: NodeId,
        /// EK certificate as read from NV, padding included.
        2 => ek_certificate: Blob,
        /// TPMT_PUBLIC of the EK.
        3 => ek_public: Blob,
        /// TPMT_PUBLIC of the AK.
        4 => ak_public: Blob,
        /// Name of the AK.
        5 => ak_name: AkName,
    }
}
