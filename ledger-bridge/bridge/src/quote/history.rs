//! A node's outage history: time that was observed and decided, laid end to end, and when in it the node was down.

use assay_protocol::ids::NodeId;
use serde::Deserialize;
use std::path::Path;

const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const SPANS_MAX: usize = 1_000_000;
/// Ten years: longer ago says nothing of today's machine.
const OBSERVED_S_MAX: u64 = 10 * 366 * 86_400;
const PPM_ONE: u64 = 1_000_000;

/// When a node was down, on a clock that runs only while it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History {
    observed_s: u64,
    /// Ascending, apart.
    down: Vec<Span>,
    /// Seconds down before each span.
    before: Vec<u64>,
}

/// From the first second to before the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    pub from_unix_s: u64,
    pub to_unix_s: u64,
}

/// Outages within one time of observation, or verdicts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    observed: Option<Span>,
    outages: Option<Vec<Span>>,
    verdicts: Option<Vec<Row>>,
}

/// The fields of a row of `assay-bridge verdicts --json` that matter here.
#[derive(Debug, Deserialize)]
struct Row {
    epoch: u64,
    node: NodeId,
    availability_ppm: u32,
    coverage_ppm: u32,
}

/// A history that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error("history {path}")]
    Read {
        /// File.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The JSON is not one of the two forms.
    #[error("history: JSON")]
    Json(#[from] serde_json::Error),
    /// A part is not what it should be.
    #[error("history: {part}: expected {expected}, got {actual}")]
    Part {
        /// Which part.
        part: String,
        /// What it should be.
        expected: String,
        /// What it is.
        actual: String,
    },
}

fn wrong(
    part: impl Into<String>,
    expected: impl Into<String>,
    actual: impl ToString,
) -> HistoryError {
    HistoryError::Part {
        part: part.into(),
        expected: expected.into(),
        actual: actual.to_string(),
    }
}

impl History {
    pub(super) fn load(
        path: &Path,
        node: Option<NodeId>,
        epoch_s: u32,
    ) -> Result<Self, HistoryError> {
        let failed = |source| HistoryError::Read {
            path: path.display().to_string(),
            source,
        };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(wrong(
                "file",
                format!("at most {FILE_BYTES_MAX} bytes"),
                bytes,
            ));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => Self::from_csv(&text),
            Some("json") => Self::from_json(&text, node, epoch_s),
            _ => Err(wrong("file name", ".csv or .json", path.display())),
        }
    }

    /// An object with outages or with verdicts.
    pub(super) fn from_json(
        text: &str,
        node: Option<NodeId>,
        epoch_s: u32,
    ) -> Result<Self, HistoryError> {
        let file: File = serde_json::from_str(text)?;
        match (file.observed, file.outages, file.verdicts) {
            (Some(observed), Some(outages), None) => Self::of_outages(observed, outages),
            (None, None, Some(rows)) => Self::of_verdicts(rows, node, epoch_s),
            _ => Err(wrong("JSON", "observed and outages, or verdicts", "others")),
        }
    }

    /// `what,from_unix_s,to_unix_s` and one line each: once `observed`, then `outage`.
    pub(super) fn from_csv(text: &str) -> Result<Self, HistoryError> {
        const HEADER: &str = "what,from_unix_s,to_unix_s";
        let mut lines = (1..).zip(text.lines().map(str::trim_end));
        let first = lines.next().map_or("", |(_, line)| line);
        if first != HEADER {
            return Err(wrong("line 1", HEADER, first));
        }
        let (mut observed, mut outages) = (None, Vec::new());
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let place = || format!("line {number}");
            let (what, span) = csv_line(line)
                .ok_or_else(|| wrong(place(), "a word and two whole numbers", line))?;
            match what {
                "observed" if observed.is_none() => observed = Some(span),
                "outage" => outages.push(span),
                _ => return Err(wrong(place(), "outage, or observed once", what)),
            }
        }
        let observed = observed.ok_or_else(|| wrong("lines", "one observed", "none"))?;
        Self::of_outages(observed, outages)
    }

    fn of_outages(observed: Span, outages: Vec<Span>) -> Result<Self, HistoryError> {
        let Span {
            from_unix_s: start,
            to_unix_s: end,
        } = observed;
        if start >= end {
            return Err(wrong("observed", "from before to", observed.shown()));
        }
        let mut free_from = start;
        for outage in &outages {
            let inside = free_from <= outage.from_unix_s && outage.to_unix_s <= end;
            if !inside || outage.from_unix_s >= outage.to_unix_s {
                let expected = format!("from {free_from} on and up to {end}, ascending and apart");
                return Err(wrong("outage", expected, outage.shown()));
            }
            free_from = outage.to_unix_s;
        }
        let shift = |span: Span| Span {
            from_unix_s: span.from_unix_s - start,
            to_unix_s: span.to_unix_s - start,
        };
        Self::new(end - start, outages.into_iter().map(shift).collect())
    }

    /// What was decided of each epoch, end to end; in each, the share that was down comes first.
    fn of_verdicts(
        rows: Vec<Row>,
        node: Option<NodeId>,
        epoch_s: u32,
    ) -> Result<Self, HistoryError> {
        let node = match (node, rows.first()) {
            (Some(node), _) => node,
            (None, Some(row)) if rows.iter().all(|other| other.node == row.node) => row.node,
            (None, None) => return Err(wrong("verdicts", "at least one", 0)),
            (None, Some(_)) => {
                return Err(wrong("verdicts", "one node, or --node", "several nodes"));
            }
        };
        let mut rows: Vec<Row> = rows.into_iter().filter(|row| row.node == node).collect();
        rows.sort_by_key(|row| row.epoch);
        if let Some(twice) = rows.windows(2).find(|two| two[0].epoch == two[1].epoch) {
            return Err(wrong(
                "verdicts",
                "each epoch once",
                format!("epoch {} twice", twice[0].epoch),
            ));
        }
        let (mut now_s, mut down) = (0u64, Vec::new());
        for row in &rows {
            let (decided_s, down_s) = row.decided_and_down_s(epoch_s)?;
            if down_s > 0 {
                down.push(Span {
                    from_unix_s: now_s,
                    to_unix_s: now_s + down_s,
                });
            }
            now_s += decided_s;
        }
        Self::new(now_s, down)
    }

    fn new(observed_s: u64, down: Vec<Span>) -> Result<Self, HistoryError> {
        if observed_s == 0 || observed_s > OBSERVED_S_MAX {
            let expected = format!("1 to {OBSERVED_S_MAX} s observed");
            return Err(wrong("time", expected, observed_s));
        }
        if down.len() > SPANS_MAX {
            return Err(wrong("outages", format!("at most {SPANS_MAX}"), down.len()));
        }
        let mut sum = 0;
        let mut before = Vec::with_capacity(down.len());
        for span in &down {
            before.push(sum);
            sum += span.length_s();
        }
        Ok(Self {
            observed_s,
            down,
            before,
        })
    }

    /// Seconds observed.
    pub(super) fn observed_s(&self) -> u64 {
        self.observed_s
    }

    /// Seconds down.
    pub(super) fn down_s(&self) -> u64 {
        self.down_before_s(self.observed_s)
    }

    /// Seconds down within `length_s` from `from_s` on; after the end comes the beginning again.
    pub(super) fn down_within_s(&self, from_s: u64, length_s: u64) -> u64 {
        let turns = |at: u64| at / self.observed_s * self.down_s();
        let until = |at: u64| turns(at) + self.down_before_s(at % self.observed_s);
        until(from_s + length_s) - until(from_s)
    }

    /// Whole blocks from the start with an outage in them.
    pub(super) fn blocks_with_outage(&self, block_s: u64) -> u64 {
        let blocks = 0..self.observed_s / block_s;
        let hit = blocks.filter(|block| self.down_within_s(block * block_s, block_s) > 0);
        hit.count() as u64
    }

    fn down_before_s(&self, at_s: u64) -> u64 {
        let after = self.down.partition_point(|span| span.from_unix_s < at_s);
        let Some(last) = after.checked_sub(1) else {
            return 0;
        };
        let span = self.down[last];
        self.before[last] + at_s.min(span.to_unix_s) - span.from_unix_s
    }
}

impl Row {
    /// Seconds of the epoch that were decided, and of those the ones that were down; both rounded up: the shares were
    /// rounded down. No data is never up and never down, as on the ledger, which bills by decided slots.
    fn decided_and_down_s(&self, epoch_s: u32) -> Result<(u64, u64), HistoryError> {
        let share = |name: &str, ppm: u32| match u64::from(ppm) {
            ppm if ppm <= PPM_ONE => Ok(ppm),
            _ => {
                let (part, expected) = (format!("epoch {}: {name}", self.epoch), "at most 1000000");
                Err(wrong(part, expected, ppm))
            }
        };
        let coverage = share("coverage_ppm", self.coverage_ppm)?;
        let availability = share("availability_ppm", self.availability_ppm)?;
        let decided_s = (u64::from(epoch_s) * coverage).div_ceil(PPM_ONE);
        let down_s = (decided_s * (PPM_ONE - availability)).div_ceil(PPM_ONE);
        Ok((decided_s, down_s))
    }
}

impl Span {
    fn length_s(self) -> u64 {
        self.to_unix_s - self.from_unix_s
    }

    fn shown(self) -> String {
        format!("{} to {}", self.from_unix_s, self.to_unix_s)
    }
}

fn csv_line(line: &str) -> Option<(&str, Span)> {
    let mut fields = line.split(',');
    let what = fields.next()?;
    let from_unix_s = fields.next()?.trim().parse().ok()?;
    let to_unix_s = fields.next()?.trim().parse().ok()?;
    let span = Span {
        from_unix_s,
        to_unix_s,
    };
    fields.next().is_none().then_some((what, span))
}
