//! Numbers for Prometheus, in its text format, on a port of this machine. Ages are computed when they are asked for, so that
//! they grow while the bridge hangs.

use assay_protocol::ids::{Epoch, HyperNodeId, UnixMs};
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use std::fmt::Write as _;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

use crate::store::TxEnd;

/// What the poster saw when it last looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The oldest epoch that is not settled.
    pub epoch: Epoch,
    /// When it ends or ended.
    pub epoch_end: UnixMs,
    /// Whether this bridge is the one that sends.
    pub leads: bool,
    /// Whether the ledger holds another root than this bridge computes.
    pub is_contested: bool,
    /// Time of the newest block, in Unix seconds; `None` when the ledger could not be asked.
    pub head_s: Option<u64>,
    /// Time of the newest final block.
    pub final_s: Option<u64>,
    /// What the sending account holds.
    pub balance: Option<u128>,
    /// What a root costs now.
    pub epoch_cost: Option<u128>,
    /// Of each HyperNode whether its root signature of the oldest unsettled epoch is missing, once that epoch is over.
    pub missing: Vec<(HyperNodeId, bool)>,
    /// Of each HyperNode with a say how many agreed lists in a row have no report of it.
    pub missed: Vec<(HyperNodeId, u32)>,
    /// Actions under way.
    pub live: usize,
    /// Those of them that are in no block.
    pub unincluded: usize,
    /// How often attempts ended each way.
    pub ended: [(TxEnd, u64); 4],
    /// Faults of HyperNodes that were seen since the process began.
    pub faults: usize,
}

/// What is shared between the poster and whoever asks.
#[derive(Debug, Default)]
pub struct Metrics {
    sample: Mutex<Option<Sample>>,
    failed_steps: AtomicU64,
}

impl Metrics {
    /// A new look.
    pub fn put(&self, sample: Sample) {
        *self.sample.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
    }

    /// A step of the poster failed.
    pub fn step_failed(&self) {
        self.failed_steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, as text.
    pub fn render(&self, now: UnixMs) -> String {
        let sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page::default();
        page.one(
            "assay_bridge_failed_steps_total",
            "counter",
            "Steps of the poster that failed",
            self.failed_steps.load(Ordering::Relaxed),
        );
        if let Some(sample) = sample.as_ref() {
            page.sample(sample, now);
        }
        page.0
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.one(name, "gauge", help, value);
    }

    fn sample(&mut self, sample: &Sample, now: UnixMs) {
        let age_s = now.0.saturating_sub(sample.epoch_end.0) / 1_000;
        self.gauge(
            "assay_bridge_oldest_unsettled_epoch",
            "The oldest epoch that is not settled",
            sample.epoch.0,
        );
        self.gauge(
            "assay_bridge_oldest_unsettled_epoch_age_seconds",
            "Time since the end of the oldest epoch that is not settled; 0 while it runs",
            age_s,
        );
        self.gauge(
            "assay_bridge_leads",
            "1 when this bridge is the one that sends",
            u8::from(sample.leads),
        );
        self.gauge(
            "assay_bridge_root_wrong",
            "1 while the ledger holds another root for the oldest unsettled epoch than this bridge computes",
            u8::from(sample.is_contested),
        );
        self.gauge(
            "assay_bridge_faults_seen",
            "Faults of HyperNodes that this process has proofs of",
            sample.faults,
        );
        self.ledger(sample, now);
        self.outbox(sample);
        let name = "assay_bridge_signature_missing";
        let help = "1 for a HyperNode whose root signature of the oldest unsettled epoch is missing after its end";
        self.head(name, "gauge", help);
        for (hypernode, is_missing) in &sample.missing {
            let value = u8::from(*is_missing);
            let _ = writeln!(self.0, "{name}{{hypernode=\"{hypernode}\"}} {value}");
        }
        let name = "assay_bridge_reports_missed";
        let help = "Agreed lists in a row without a report of a HyperNode with a say";
        self.head(name, "gauge", help);
        for (hypernode, missed) in &sample.missed {
            let _ = writeln!(self.0, "{name}{{hypernode=\"{hypernode}\"}} {missed}");
        }
    }

    fn ledger(&mut self, sample: &Sample, now: UnixMs) {
        let is_up = sample.head_s.is_some();
        self.gauge(
            "assay_bridge_ledger_up",
            "1 when the ledger answered",
            u8::from(is_up),
        );
        let blocks = [
            ("head", "newest", sample.head_s),
            ("final", "newest final", sample.final_s),
        ];
        for (name, which, time_s) in blocks {
            if let Some(time_s) = time_s {
                self.gauge(
                    &format!("assay_bridge_chain_{name}_age_seconds"),
                    &format!("Age of the {which} block"),
                    (now.0 / 1_000).saturating_sub(time_s),
                );
            }
        }
        if let Some(balance) = sample.balance {
            let help = "Balance of the sending account in the chain's smallest unit";
            self.gauge("assay_bridge_balance_wei", help, balance);
        }
        if let (Some(balance), Some(cost)) = (sample.balance, sample.epoch_cost) {
            let left = balance.checked_div(cost);
            self.gauge(
                "assay_bridge_balance_epochs",
                "Roots that the balance pays at the present price of gas",
                left.map_or("+Inf".to_owned(), |left| left.to_string()),
            );
        }
    }

    fn outbox(&mut self, sample: &Sample) {
        self.gauge(
            "assay_bridge_outbox_live",
            "Actions whose end is not known",
            sample.live,
        );
        self.gauge(
            "assay_bridge_outbox_unincluded",
            "Actions that are in no block",
            sample.unincluded,
        );
        let name = "assay_bridge_outbox_ended_total";
        self.head(name, "counter", "Attempts by how they ended");
        for (end, count) in sample.ended {
            let end = end.name();
            let _ = writeln!(self.0, "{name}{{end=\"{end}\"}} {count}");
        }
    }
}

/// Serves `/metrics` until the task is dropped. A listener that others than this machine can reach is refused.
pub async fn serve(metrics: Arc<Metrics>, listener: TcpListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        let message = format!("metrics on {address}: only loopback addresses are served");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let router = Router::new()
        .route("/metrics", get(answer))
        .with_state(metrics);
    axum::serve(listener, router).await
}

async fn answer(
    State(metrics): State<Arc<Metrics>>,
) -> ([(axum::http::HeaderName, &'static str); 1], String) {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics.render(crate::system_now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Sample {
        Sample {
            epoch: Epoch(7),
            epoch_end: UnixMs(10_000),
            leads: true,
            is_contested: false,
            head_s: Some(12),
            final_s: Some(8),
            balance: Some(1_000),
            epoch_cost: Some(300),
            missing: vec![(HyperNodeId([1; 32]), true), (HyperNodeId([2; 32]), false)],
            missed: vec![(HyperNodeId([1; 32]), 3), (HyperNodeId([2; 32]), 0)],
            live: 2,
            unincluded: 1,
            ended: [
                (TxEnd::Included, 5),
                (TxEnd::Reverted, 1),
                (TxEnd::Superseded, 0),
                (TxEnd::Left, 0),
            ],
            faults: 4,
        }
    }

    fn value(page: &str, name: &str) -> Option<String> {
        let line = page.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().to_owned())
    }

    #[test]
    fn ages_grow_and_balances_are_in_epochs() {
        let metrics = Metrics::default();
        assert!(
            !metrics.render(UnixMs(0)).contains("epoch_age"),
            "not looked yet"
        );
        metrics.put(sample());
        metrics.step_failed();
        let page = metrics.render(UnixMs(15_500));
        for (name, expected) in [
            ("assay_bridge_oldest_unsettled_epoch_age_seconds", "5"),
            ("assay_bridge_oldest_unsettled_epoch ", "7"),
            ("assay_bridge_chain_head_age_seconds", "3"),
            ("assay_bridge_chain_final_age_seconds", "7"),
            ("assay_bridge_balance_epochs", "3"),
            ("assay_bridge_outbox_live", "2"),
            ("assay_bridge_outbox_ended_total{end=\"included\"}", "5"),
            ("assay_bridge_failed_steps_total", "1"),
            ("assay_bridge_faults_seen", "4"),
        ] {
            assert_eq!(value(&page, name).as_deref(), Some(expected), "{name}");
        }
        let missing = |n: u8| {
            format!(
                "assay_bridge_signature_missing{{hypernode=\"{}\"}}",
                HyperNodeId([n; 32])
            )
        };
        assert_eq!(value(&page, &missing(1)).as_deref(), Some("1"));
        assert_eq!(value(&page, &missing(2)).as_deref(), Some("0"));
        let missed = missing(1).replace("signature_missing", "reports_missed");
        assert_eq!(value(&page, &missed).as_deref(), Some("3"));
        let early = metrics.render(UnixMs(9_000));
        assert_eq!(
            value(&early, "assay_bridge_oldest_unsettled_epoch_age_seconds").as_deref(),
            Some("0")
        );
    }

    #[test]
    fn free_gas_lasts_for_ever_and_a_silent_ledger_has_no_numbers() {
        let metrics = Metrics::default();
        metrics.put(Sample {
            epoch_cost: Some(0),
            head_s: None,
            ..sample()
        });
        let page = metrics.render(UnixMs(0));
        assert_eq!(
            value(&page, "assay_bridge_balance_epochs").as_deref(),
            Some("+Inf")
        );
        assert_eq!(value(&page, "assay_bridge_ledger_up").as_deref(), Some("0"));
        assert!(!page.contains("chain_head_age"));
    }
}
