//! A progress bar on a terminal, and nothing anywhere else.

use std::io::{IsTerminal as _, Write as _};

const WIDTH: u64 = 40;

/// One bar, gone when dropped.
pub struct Progress {
    what: &'static str,
    /// Steps shown; nothing where nobody looks.
    shown: Option<u64>,
}

impl Progress {
    /// A bar on stderr, if that is a terminal.
    pub fn new(what: &'static str) -> Self {
        let shown = std::io::stderr().is_terminal().then_some(WIDTH + 1);
        Self { what, shown }
    }

    /// Shows how much of all is done, when that changes what is seen.
    pub fn show(&mut self, done: u64, all: u64) {
        let steps = steps(done, all);
        if self.shown.is_some_and(|shown| shown != steps) {
            self.shown = Some(steps);
            let _ = write!(std::io::stderr(), "\r{}", bar(self.what, steps));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn steps(done: u64, all: u64) -> u64 {
    done.min(all)
        .saturating_mul(WIDTH)
        .checked_div(all)
        .unwrap_or(WIDTH)
}

fn bar(what: &str, steps: u64) -> String {
    let (full, empty) = (steps as usize, WIDTH.saturating_sub(steps) as usize);
    format!("{what:<6} [{}{}]", "#".repeat(full), ".".repeat(empty))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_at_first_full_at_the_end_and_never_longer() {
        assert_eq!(
            [steps(0, 10), steps(5, 10), steps(10, 10), steps(99, 10)],
            [0, 20, 40, 40]
        );
        assert_eq!(steps(0, 0), WIDTH);
        assert_eq!(bar("fill", 0), format!("fill   [{}]", ".".repeat(40)));
        assert_eq!(bar("chase", 40), format!("chase  [{}]", "#".repeat(40)));
    }
}
