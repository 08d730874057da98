//! What the operator reads: one line an event on stderr, or one JSON object a line for programs.

use serde_json::json;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

static AS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on lines are JSON objects with `unix_ms` and `line`.
pub fn as_json() {
    AS_JSON.store(true, Ordering::Relaxed);
}

/// Says one thing.
pub fn say(line: impl Display) {
    if AS_JSON.load(Ordering::Relaxed) {
        let now = crate::system_now().0;
        eprintln!("{}", json!({"unix_ms": now, "line": line.to_string()}));
    } else {
        eprintln!("{line}");
    }
}
