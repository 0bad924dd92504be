//! What would hang fails instead.

use std::{panic, process, sync::Once, sync::mpsc, thread};

use super::patience::{minute, patience};

/// What all tests of a program may take together.
const MINUTES: u32 = 10;

/// Runs `what` on a thread of its own, and fails if that thread is not over after a minute, its exit included.
pub(crate) fn within_a_minute<R: Send + 'static>(what: impl FnOnce() -> R + Send + 'static) -> R {
    stand_guard();
    let (done, wait) = mpsc::channel();
    // Two threads: only a join tells when the inner one's exit is over, and a join takes no timeout.
    thread::spawn(move || {
        let result = thread::spawn(what).join();
        let _ = done.send(result);
    });
    match wait.recv_timeout(minute()) {
        Ok(Ok(result)) => result,
        Ok(Err(payload)) => panic::resume_unwind(payload),
        Err(_) => panic!("not over after a minute: something waits for something that does not come"),
    }
}

/// For the tests that call none of the above, and wait where nobody thought that they would have to.
fn stand_guard() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        thread::spawn(|| {
            thread::sleep(minute() * MINUTES);
            eprintln!(
                "not over after {} minutes: a test waits for something that does not come, or the machine is slow; \
                 THREADCTX_PATIENCE=5 allows five times as long",
                MINUTES * patience()
            );
            process::abort();
        });
    });
}
