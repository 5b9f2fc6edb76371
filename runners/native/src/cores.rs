//! Work on every core that there is.

use std::io;
use std::thread;

const MAX_THREADS: usize = 4;

/// Runs `work` on as many threads as there are cores, `most` at most. Returns an error of one of them.
pub fn on_all_cores(most: usize, work: impl Fn() -> io::Result<()> + Sync) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS).min(most);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(&work)).collect();
        let own = work();
        let failed = || Err(io::Error::other("a thread ended"));
        others.into_iter().map(|thread| thread.join().unwrap_or_else(|_| failed())).fold(own, io::Result::and)
    })
}
