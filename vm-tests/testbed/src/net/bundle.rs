//! From the stores of a network to one audit bundle.

use super::LocalNetwork;
use anyhow::{Context as _, Result};
use assay_protocol::ids::NodeId;
use std::path::Path;

impl LocalNetwork {
    /// Exports everybody's part about a node, epochs `first` to `last`, into folders of `parts`, and seals them in `tar`.
    pub fn bundle(
        &self,
        node: NodeId,
        (first, last): (u64, u64),
        parts: &Path,
        tar: &Path,
    ) -> Result<()> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("path is not text");
        let (node, first, last) = (node.to_string(), first.to_string(), last.to_string());
        let export = |program: &str, config: &Path, label: &str| {
            let (config, folder) = (text(config)?, text(&parts.join(label))?);
            let mut args = vec!["export", "--config", &config, "--out", &folder];
            args.extend(["--node", &node, "--first", &first, "--last", &last]);
            self.programs.run(program, &args)?;
            anyhow::Ok(folder)
        };
        std::fs::create_dir_all(parts)?;
        let mut folders = vec![export("assay-bridge", &self.bridge_config(), "ledger")?];
        for hypernode in &self.hypernodes {
            let (config, label) = (&hypernode.config, &hypernode.label);
            folders.push(export("assay-hypernode", config, label)?);
        }
        let tar = text(tar)?;
        let mut args = vec!["bundle", "--out", &tar];
        args.extend(folders.iter().map(String::as_str));
        self.programs.run("assay-verifier", &args)?;
        Ok(())
    }
}
