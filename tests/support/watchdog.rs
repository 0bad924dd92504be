//! What would hang fails instead.

use std::{panic, sync::mpsc, thread, time::Duration};

/// Runs `what` on a thread of its own, and fails if that thread is not over after a minute, its exit included.
pub(crate) fn within_a_minute<R: Send + 'static>(what: impl FnOnce() -> R + Send + 'static) -> R {
    let (done, wait) = mpsc::channel();
    // Two threads: only a join tells when the inner one's exit is over, and a join takes no timeout.
    thread::spawn(move || {
        let result = thread::spawn(what).join();
        let _ = done.send(result);
    });
    match wait.recv_timeout(Duration::from_secs(60)) {
        Ok(Ok(result)) => result,
        Ok(Err(payload)) => panic::resume_unwind(payload),
        Err(_) => panic!("not over after a minute: something waits for something that does not come"),
    }
}
