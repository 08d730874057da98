//! A local EK certification authority: one root, one intermediate, made by swtpm's own tools.

use crate::tool::run;
use anyhow::{Context as _, Result, ensure};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A test EK CA in a directory of its own; its EK certificates are genuine X.509 with the
/// TCG's SAN and EKU, under a root nobody outside the test trusts.
#[derive(Debug, Clone)]
pub struct TestCa {
    dir: PathBuf,
}

impl TestCa {
    /// Creates the CA in `dir`, or opens the one that is already there.
    pub fn create(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = std::fs::canonicalize(dir)?;
        let ca = Self { dir };
        ca.write_configuration()?;
        if !ca.root_path().exists() {
            ca.make_keys()?;
        }
        Ok(ca)
    }

    /// `swtpm_setup --config` file that makes it ask this CA for certificates.
    pub fn setup_config(&self) -> PathBuf {
        self.dir.join("swtpm_setup.conf")
    }

    /// The self-signed root, PEM.
    pub fn root_pem(&self) -> Result<String> {
        read(&self.root_path())
    }

    /// The self-signed root, DER.
    pub fn root_der(&self) -> Result<Vec<u8>> {
        der(&self.root_path())
    }

    /// The intermediates between root and EK certificate, PEM; one certificate.
    pub fn intermediate_pem(&self) -> Result<String> {
        read(&self.intermediate_path())
    }

    /// The intermediates between root and EK certificate, DER.
    pub fn intermediates_der(&self) -> Result<Vec<Vec<u8>>> {
        Ok(vec![der(&self.intermediate_path())?])
    }

    fn root_path(&self) -> PathBuf {
        self.dir.join("swtpm-localca-rootca-cert.pem")
    }

    fn intermediate_path(&self) -> PathBuf {
        self.dir.join("issuercert.pem")
    }

    fn localca_config(&self) -> PathBuf {
        self.dir.join("swtpm-localca.conf")
    }

    fn write_configuration(&self) -> Result<()> {
        let dir = self.dir.display();
        let localca = format!(
            "statedir = {dir}\nsigningkey = {dir}/signkey.pem\nissuercert = {dir}/issuercert.pem\n\
             certserial = {dir}/certserial\n"
        );
        let setup = format!(
            "create_certs_tool = swtpm_localca\n\
             create_certs_tool_config = {dir}/swtpm-localca.conf\n\
             create_certs_tool_options = {dir}/swtpm-localca.options\n\
             active_pcr_banks = sha256\n"
        );
        let options = "--platform-manufacturer Assay\n--platform-version 1\n\
                       --platform-model Testbed\n";
        std::fs::write(self.localca_config(), localca)?;
        std::fs::write(self.setup_config(), setup)?;
        std::fs::write(self.dir.join("swtpm-localca.options"), options)?;
        Ok(())
    }

    /// `swtpm_localca` makes its keys when it is first asked for a certificate: ask for one that
    /// nobody keeps, so that the roots exist before the first TPM does.
    fn make_keys(&self) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let modulus = format!("{}01", "c7".repeat(255));
        let mut command = Command::new("swtpm_localca");
        command.args([
            "--type", "ek", "--tpm2", "--vmid", "unused", "--ek", &modulus,
        ]);
        command.args(["--tpm-spec-family", "2.0", "--tpm-spec-level", "0"]);
        command.args([
            "--tpm-spec-revision",
            "164",
            "--tpm-manufacturer",
            "id:00001014",
        ]);
        command.args(["--tpm-model", "swtpm", "--tpm-version", "id:20191023"]);
        command.arg("--dir").arg(scratch.path());
        command.arg("--configfile").arg(self.localca_config());
        command
            .arg("--optsfile")
            .arg(self.dir.join("swtpm-localca.options"));
        run(&mut command)?;
        ensure!(
            self.root_path().exists(),
            "swtpm_localca made no {}",
            self.root_path().display()
        );
        Ok(())
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn der(path: &Path) -> Result<Vec<u8>> {
    let pem = read(path)?;
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
        .with_context(|| format!("{} is not a PEM certificate", path.display()))?;
    Ok(certificate.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_intermediate_exist_before_the_first_tpm_and_stay() {
        let dir = tempfile::tempdir().unwrap();
        let ca = TestCa::create(dir.path()).unwrap();
        let root = ca.root_der().unwrap();
        assert_eq!(root[0], 0x30);
        assert_ne!(root, ca.intermediates_der().unwrap()[0]);
        let again = TestCa::create(dir.path()).unwrap();
        assert_eq!(again.root_der().unwrap(), root);
    }

    #[test]
    fn two_authorities_are_strangers() {
        let dir = tempfile::tempdir().unwrap();
        let one = TestCa::create(&dir.path().join("1")).unwrap();
        let two = TestCa::create(&dir.path().join("2")).unwrap();
        assert_ne!(one.root_der().unwrap(), two.root_der().unwrap());
    }
}
