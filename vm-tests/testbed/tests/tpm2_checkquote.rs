//! Our quote in somebody else's hands: `tpm2_checkquote` of tpm2-tools verifies what `assay-verifier show --extract`
//! takes out of evidence that a real `assay-agent` made on a software TPM.

use anyhow::{Context as _, Result, bail, ensure};
use assay_protocol::ids::{Address, Beacon, Epoch, HyperNodeId, NetworkId, Nonce};
use assay_protocol::limits::AGENT_FRAME_BYTES_MAX;
use assay_protocol::wire::{AgentReply, AgentRequest};
use assay_testbed::net::process::Programs;
use assay_testbed::net::scaler::ScalerNode;
use assay_testbed::{TestCa, Variant};
use assay_transport::{Identity, frames, tls};
use rustls::{ClientConnection, StreamOwned};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const NETWORK: NetworkId = NetworkId([0x11; 32]);
const PROVIDER: Address = Address([0x22; 20]);
/// What `assay-verifier show --extract` promises to write.
const EXTRACTED: [&str; 5] = [
    "ak.pem",
    "attest.bin",
    "pcrs.bin",
    "qualification.hex",
    "sig.bin",
];

/// Asks the agent for evidence as a HyperNode of its roster.
fn attest(endpoint: &str, hypernode: &Identity) -> Result<Vec<u8>> {
    let anybody = Arc::new(|_: &[u8; 32]| true);
    let config = tls::client_config(hypernode, anybody)?;
    let connection = ClientConnection::new(config, tls::server_name())?;
    let mut stream = StreamOwned::new(connection, TcpStream::connect(endpoint)?);
    let request = AgentRequest::Attest {
        nonce: Nonce([7; 32]),
        epoch: Epoch(3),
        beacon: Beacon([4; 32]),
    };
    frames::write(&mut stream, &request, AGENT_FRAME_BYTES_MAX)?;
    match frames::read(&mut stream, AGENT_FRAME_BYTES_MAX)? {
        AgentReply::Evidence { bytes } => Ok(bytes),
        other => bail!("no evidence: {other:?}"),
    }
}

/// Runs tpm2_checkquote on the extracted files; an error carries what it said.
fn checkquote(dir: &Path, qualification: &str) -> Result<()> {
    let path = |name: &str| dir.join(name);
    let output = Command::new("tpm2_checkquote")
        .arg("-u")
        .arg(path("ak.pem"))
        .arg("-m")
        .arg(path("attest.bin"))
        .arg("-s")
        .arg(path("sig.bin"))
        .arg("-f")
        .arg(path("pcrs.bin"))
        .args(["-g", "sha256", "-q", qualification])
        .output()
        .context("cannot run tpm2_checkquote\nhint: apt-get install tpm2-tools")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The file with one bit changed.
fn flip_last_bit(path: &Path) -> Result<()> {
    let mut bytes = std::fs::read(path)?;
    *bytes.last_mut().context("an empty file")? ^= 1;
    Ok(std::fs::write(path, bytes)?)
}

#[test]
fn tpm2_checkquote_accepts_our_quote_and_no_other_qualification_or_signature() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let programs = Programs::beside_this_one()?;
    let ca = TestCa::create(&dir.path().join("ca"))?;
    let mut node = ScalerNode::new(
        &dir.path().join("node"),
        &ca,
        "node",
        Variant::Good,
        PROVIDER,
    )?;
    let hypernode = Identity::generate()?;
    let roster = [HyperNodeId(assay_protocol::cose::Signer::public_key(
        &hypernode,
    ))];
    node.boot(&programs, NETWORK, &roster)?;

    let evidence = dir.path().join("evidence.cose");
    std::fs::write(&evidence, attest(&node.endpoint, &hypernode)?)?;
    let extract = dir.path().join("extract");
    let (from, to) = (evidence.to_string_lossy(), extract.to_string_lossy());
    let shown = programs.run("assay-verifier", &["show", "--extract", &to, &from])?;
    let id = node.node.context("no node id")?.to_string();
    ensure!(shown.contains(&id), "{shown}");
    for name in EXTRACTED {
        ensure!(extract.join(name).is_file(), "{name} was not written");
    }

    let qualification = std::fs::read_to_string(extract.join("qualification.hex"))?;
    checkquote(&extract, &qualification)?;
    let other = "00".repeat(32);
    ensure!(
        checkquote(&extract, &other).is_err(),
        "another qualification was accepted"
    );
    flip_last_bit(&extract.join("sig.bin"))?;
    ensure!(
        checkquote(&extract, &qualification).is_err(),
        "another signature was accepted"
    );
    Ok(())
}
