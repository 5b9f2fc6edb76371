//! Waiting for devices. Drivers find most of them while their module loads, so the first look usually suffices.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// Looks again and again, less and less often, for `what` to be there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> io::Result<T> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if start.elapsed() >= DEADLINE {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not appear")));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
