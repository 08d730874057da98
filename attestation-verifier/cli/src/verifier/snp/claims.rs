//! What a report says, for people and programs; proven exactly as far as the checks beside it say.

use assay_appraisal::snp::policy::AppraisedReport;
use assay_appraisal::snp::product::Product;
use assay_appraisal::snp::report::{self, Report};
use assay_appraisal::snp::tcb::Tcb;
use assay_appraisal::snp::verify::AuthenticReport;
use serde_json::{Map, Value, json};

/// The claims of a report's bytes; what follows only from its chain is there only when the chain holds.
pub fn report(
    bytes: &[u8],
    authentic: Option<&AuthenticReport>,
    appraised: Option<&AppraisedReport>,
    fresh: bool,
) -> Value {
    let mut claims = Map::new();
    if let Ok(parsed) = report::parse(bytes) {
        claims = content(&parsed.report, authentic.map(AuthenticReport::product));
    }
    claims.insert("authentic".into(), authentic.is_some().into());
    let freshness = if fresh { "checked" } else { "not checked" };
    claims.insert("freshness".into(), freshness.into());
    if let Some(authentic) = authentic {
        claims.insert("product".into(), authentic.product().name().into());
        claims.insert("key_kind".into(), json!(authentic.key_kind()));
        claims.insert("root_kind".into(), json!(authentic.root_kind()));
        claims.insert("csp_id".into(), authentic.csp_id().into());
    }
    if let Some(appraised) = appraised {
        claims.insert("tier_max".into(), appraised.tier_max().into());
    }
    Value::Object(claims)
}

fn content(r: &Report, product: Option<Product>) -> Map<String, Value> {
    let tcb = |raw: [u8; 8]| {
        let decoded = product.and_then(|product| Tcb::read(product, raw).ok());
        decoded.map_or_else(|| hex::encode(raw), |tcb| tcb.to_string())
    };
    let chip_id = (!r.chip_id_masked()).then(|| hex::encode(r.chip_id));
    let members = [
        ("version", json!(r.version.number())),
        ("guest_svn", json!(r.guest_svn)),
        ("policy", policy(r)),
        ("family_id", hex::encode(r.family_id).into()),
        ("image_id", hex::encode(r.image_id).into()),
        ("vmpl", json!(r.vmpl)),
        ("platform_info", format!("{:#x}", r.platform_info).into()),
        ("author_key_enabled", r.author_key_enabled.into()),
        ("chip_key_masked", r.chip_key_masked.into()),
        ("signing_key", json!(r.signing_key)),
        ("report_data", hex::encode(r.report_data).into()),
        ("measurement", hex::encode(r.measurement).into()),
        ("host_data", hex::encode(r.host_data).into()),
        ("id_key_digest", hex::encode(r.id_key_digest).into()),
        ("author_key_digest", hex::encode(r.author_key_digest).into()),
        ("report_id", hex::encode(r.report_id).into()),
        ("report_id_ma", hex::encode(r.report_id_ma).into()),
        ("reported_tcb", tcb(r.reported_tcb).into()),
        ("committed_tcb", tcb(r.committed_tcb).into()),
        ("launch_tcb", tcb(r.launch_tcb).into()),
        ("current_tcb", tcb(r.current_tcb).into()),
        ("cpuid", r.cpuid.map(|cpuid| cpuid.to_string()).into()),
        ("chip_id", chip_id.into()),
        ("current_firmware", r.current_firmware.to_string().into()),
        (
            "committed_firmware",
            r.committed_firmware.to_string().into(),
        ),
        ("mitigations", mitigations(r)),
    ];
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn policy(r: &Report) -> Value {
    let policy = r.policy;
    json!({
        "bits": format!("{:#x}", policy.bits()),
        "abi_min": policy.abi_min().to_string(),
        "smt_allowed": policy.smt_allowed(),
        "migration_allowed": policy.migration_allowed(),
        "debug_allowed": policy.debug_allowed(),
        "single_socket": policy.single_socket(),
    })
}

fn mitigations(r: &Report) -> Value {
    let shown = |vectors: report::Mitigations| {
        json!({
            "launch": format!("{:#x}", vectors.launch),
            "current": format!("{:#x}", vectors.current),
        })
    };
    r.mitigations.map_or(Value::Null, shown)
}
