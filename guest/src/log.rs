//! Diagnostics of the agent itself, on standard error: the console, where the agent is PID 1. A guest's console log is bounded by its
//! host, so they are few.

use std::sync::atomic::{AtomicU32, Ordering};

/// Lines an agent may write in its life.
const MAX_LINES: u32 = 200;

static LINES: AtomicU32 = AtomicU32::new(0);

/// Writes one line, as long as there are not too many.
pub fn line(message: &str) {
    let line = LINES.fetch_add(1, Ordering::Relaxed);
    if line < MAX_LINES {
        eprintln!("thaw-agent: {message}");
    } else if line == MAX_LINES {
        eprintln!("thaw-agent: no more messages from here on");
    }
}
