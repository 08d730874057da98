//! `assay-bridge quote`: what breaches of a service level would cost over a period, from a node's outage history.
//!
//! The model, the input and what they do not say are in QUOTE.md.

mod credits;
mod history;
mod model;

use crate::random::Random;
use assay_aggregate::wilson;
use assay_protocol::ids::NodeId;
use credits::{CreditError, Credits};
use history::{History, HistoryError};
use model::Losses;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;

/// Fewest independent blocks that say something about the 99th percentile.
const BLOCKS_ENOUGH: u64 = 30;

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Outages (.csv or .json), or what `assay-bridge verdicts --json` printed; see QUOTE.md.
    #[arg(long)]
    history: PathBuf,
    /// The node, where the file holds verdicts of several.
    #[arg(long)]
    node: Option<NodeId>,
    /// Length of an epoch in seconds, where the file holds verdicts.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..=2_678_400))]
    epoch_s: u32,
    /// Credit tiers (TOML); EC2-like when left out.
    #[arg(long)]
    credits: Option<PathBuf>,
    /// What the Builder pays for one period, in gwei.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    price_gwei: u64,
    /// Length of a period in hours.
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(1..=87_600))]
    period_hours: u32,
    /// Length of the blocks that are drawn, in hours: longer than outages keep coming.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8_760))]
    block_hours: u32,
    /// Simulated periods.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    runs: u32,
    /// Seed of the draws.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For programs.
    #[arg(long)]
    pub json: bool,
}

/// What a period may cost. All money in gwei, all shares in a million.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// Name of the credit tiers.
    pub credits: String,
    /// What the Builder pays for one period.
    pub price_gwei: u64,
    /// Length of a period.
    pub period_s: u64,
    /// Time that was observed and decided.
    pub observed_s: u64,
    /// Of it, down.
    pub down_s: u64,
    /// Availability over all that was observed, rounded down.
    pub observed_availability_ppm: u32,
    /// Length of the blocks drawn.
    pub block_s: u64,
    /// How many blocks the history holds that do not overlap.
    pub blocks: u64,
    /// Of those, at most so many see an outage, with 95 % confidence.
    pub blocks_with_outage_ppm_max: u32,
    /// Simulated periods.
    pub runs: u32,
    /// Seed of the draws.
    pub seed: u64,
    /// Mean credit of a period, rounded down.
    pub expected_credit_gwei: u64,
    /// Periods in which some credit is due, also one that is less than a gwei.
    pub breach_ppm: u32,
    /// 95 % of periods cost at most this.
    pub loss_p95_gwei: u64,
    /// 99 % of periods cost at most this.
    pub loss_p99_gwei: u64,
    /// The dearest simulated period.
    pub loss_most_gwei: u64,
    /// Collateral that pays the credits of 99 % of periods: the 99th percentile.
    pub collateral_required_gwei: u64,
    /// What makes the numbers weak.
    pub warnings: Vec<String>,
}

/// Why nothing can be quoted.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The credit tiers cannot be used.
    #[error(transparent)]
    Credits(#[from] CreditError),
    /// More blocks than history.
    #[error(
        "history: expected at least one block of {block_s} s, got {observed_s} s\nhint: --block-hours"
    )]
    Short {
        /// Length of a block.
        block_s: u64,
        /// Length of the history.
        observed_s: u64,
    },
}

/// Runs the command: what is to be printed.
pub fn shown(arguments: &Arguments) -> anyhow::Result<String> {
    let quote = quote(arguments)?;
    Ok(match arguments.json {
        true => serde_json::to_string(&quote)?,
        false => quote.to_string(),
    })
}

fn quote(arguments: &Arguments) -> Result<Quote, QuoteError> {
    let credits = match &arguments.credits {
        Some(path) => Credits::load(path)?,
        None => Credits::ec2_like()?,
    };
    let history = History::load(&arguments.history, arguments.node, arguments.epoch_s)?;
    let hours = |hours: u32| u64::from(hours) * 3_600;
    let (period_s, block_s) = (hours(arguments.period_hours), hours(arguments.block_hours));
    let observed_s = history.observed_s();
    let blocks = observed_s / block_s;
    if blocks == 0 {
        return Err(QuoteError::Short {
            block_s,
            observed_s,
        });
    }
    let mut random = Random::fork(arguments.seed, &[20]);
    let draw = model::Draw {
        history: &history,
        period_s,
        block_s,
    };
    let periods = (0..arguments.runs).map(|_| draw.availability(&mut random));
    let due_bps: Vec<u32> = periods.map(|ppm| credits.due_bps(ppm)).collect();
    let loss = |bps: &u32| credits::credit_gwei(arguments.price_gwei, *bps);
    let losses = Losses::of(due_bps.iter().map(loss).collect());
    let hit = history.blocks_with_outage(block_s);
    Ok(Quote {
        credits: credits.name,
        price_gwei: arguments.price_gwei,
        period_s,
        observed_s,
        down_s: history.down_s(),
        observed_availability_ppm: model::availability_ppm(history.down_s(), observed_s),
        block_s,
        blocks,
        blocks_with_outage_ppm_max: upper_ppm(hit, blocks),
        runs: arguments.runs,
        seed: arguments.seed,
        expected_credit_gwei: losses.mean(),
        breach_ppm: model::with_credit_ppm(&due_bps),
        loss_p95_gwei: losses.percentile(95),
        loss_p99_gwei: losses.percentile(99),
        loss_most_gwei: losses.percentile(100),
        collateral_required_gwei: losses.percentile(99),
        warnings: warnings(blocks, hit, period_s, observed_s),
    })
}

fn upper_ppm(hit: u64, blocks: u64) -> u32 {
    let small = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    wilson::bounds(small(hit), small(blocks)).map_or(wilson::PPM_ONE, |bounds| bounds.upper.0)
}

fn warnings(blocks: u64, hit: u64, period_s: u64, observed_s: u64) -> Vec<String> {
    let mut warnings = Vec::new();
    if blocks < BLOCKS_ENOUGH {
        warnings.push(format!(
            "the history holds {blocks} blocks; fewer than {BLOCKS_ENOUGH} say little about rare losses"
        ));
    }
    if observed_s < period_s {
        warnings.push(format!(
            "the history ({observed_s} s) is shorter than a period ({period_s} s)"
        ));
    }
    if hit == 0 {
        warnings.push("no outage was observed; that does not make one impossible".to_owned());
    }
    warnings
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            credits,
            price_gwei,
            period_s,
            observed_s,
            down_s,
            ..
        } = self;
        writeln!(f, "credits {credits} on {price_gwei} gwei per {period_s} s")?;
        writeln!(
            f,
            "observed {observed_s} s, down {down_s} s, availability {} ppm, {} blocks of {} s, at most {} ppm of them with an outage",
            self.observed_availability_ppm,
            self.blocks,
            self.block_s,
            self.blocks_with_outage_ppm_max
        )?;
        writeln!(f, "{} simulated periods, seed {}", self.runs, self.seed)?;
        writeln!(f, "expected credit      {} gwei", self.expected_credit_gwei)?;
        writeln!(f, "periods with credit  {} ppm", self.breach_ppm)?;
        writeln!(
            f,
            "loss, 95 % of periods at most  {} gwei",
            self.loss_p95_gwei
        )?;
        writeln!(
            f,
            "loss, 99 % of periods at most  {} gwei",
            self.loss_p99_gwei
        )?;
        writeln!(
            f,
            "loss, dearest period           {} gwei",
            self.loss_most_gwei
        )?;
        writeln!(
            f,
            "collateral required            {} gwei",
            self.collateral_required_gwei
        )?;
        self.warnings
            .iter()
            .try_for_each(|warning| writeln!(f, "note: {warning}"))
    }
}

#[cfg(test)]
mod tests;
