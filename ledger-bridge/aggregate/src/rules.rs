//! Which network parameters make a network this version can judge, beyond what
//! [`NetworkParams::validate`] asks of every set.

use crate::persistence::WINDOW_MAX;
use crate::systemic::PROVIDERS_MIN;
use assay_protocol::params::NetworkParams;

/// Fewest seats of a re-audit that is drawn: a third of the stake captures 101 with 0.03 %, 21 with 5.6 %.
pub const REAUDIT_SEATS_MIN: u32 = 101;

/// A parameter no epoch can be judged by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("network parameter {name}: expected {expected}, got {actual}")]
pub struct RuleError {
    /// Parameter.
    pub name: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

/// Whether the re-audits of a committee of `members` are drawn. Of fewer seats than [`REAUDIT_SEATS_MIN`] none is, however
/// many join after genesis: everybody votes.
pub fn draws_reaudits(params: &NetworkParams, members: usize) -> bool {
    let seats = params.reaudit_seats;
    seats >= REAUDIT_SEATS_MIN && (seats as usize) < members
}

/// Refuses parameters that would judge by too little, whoever is on the committee.
pub fn check(params: &NetworkParams) -> Result<(), RuleError> {
    let (m, n) = params.persistence;
    let in_window = 1 <= m && m <= n && n <= WINDOW_MAX;
    let expected = format!("m of n epochs, 1 <= m <= n <= {WINDOW_MAX}");
    rule(in_window, "persistence", expected, format!("{m} of {n}"))?;
    let providers = params.systemic_min_providers;
    let enough = providers == 0 || providers >= PROVIDERS_MIN;
    let expected = format!("0 (off) or at least {PROVIDERS_MIN}");
    rule(enough, "systemic_min_providers", expected, providers)
}

/// Refuses a network that begins with too little: `members` have weight at genesis. Who joins later cannot make it too
/// little, or anybody with a stake could keep everybody from judging.
pub fn check_genesis(params: &NetworkParams, members: usize) -> Result<(), RuleError> {
    check(params)?;
    let seats = params.reaudit_seats;
    let all = seats as usize >= members;
    let enough = seats == 0 || seats >= REAUDIT_SEATS_MIN || all;
    let expected =
        format!("0 (none), at least {REAUDIT_SEATS_MIN}, or all {members} members and more");
    rule(enough, "reaudit_seats", expected, seats)?;
    // A re-audit judges slots by the panels of its epoch: together they must be as large.
    let probing = u64::from(params.slots()).saturating_mul(params.panel_min.into());
    let needed = u64::from(seats).min(members as u64);
    let expected = format!("at least {needed} over the epoch, for a re-audit of {seats} seats");
    rule(
        probing >= needed,
        "slots times panel_min",
        expected,
        probing,
    )
}

fn rule(
    holds: bool,
    name: &'static str,
    expected: String,
    actual: impl ToString,
) -> Result<(), RuleError> {
    let actual = actual.to_string();
    match holds {
        true => Ok(()),
        false => Err(RuleError {
            name,
            expected,
            actual,
        }),
    }
}
