//! AMD's ASKs and ARKs, so that a VCEK alone suffices; `data/amd/README.md` says where they come from.

/// ASK and ARK of Milan, Genoa and Turin, DER.
pub(super) const CERTIFICATES: [&[u8]; 6] = [
    include_bytes!("../../../data/amd/milan-ask.der"),
    include_bytes!("../../../data/amd/milan-ark.der"),
    include_bytes!("../../../data/amd/genoa-ask.der"),
    include_bytes!("../../../data/amd/genoa-ark.der"),
    include_bytes!("../../../data/amd/turin-ask.der"),
    include_bytes!("../../../data/amd/turin-ark.der"),
];
