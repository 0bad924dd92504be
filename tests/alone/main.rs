//! Tests that need the process for themselves: exact figures, and hooks that run on every thread.
//!
//! Each body runs on a thread of its own, which is joined before the next test begins. So nothing of the test harness'
//! own threads is counted, and whatever a test registered is gone again.

#![cfg(not(loom))]

mod churn;
mod counts;
mod crosswise;
mod hooks;
mod nested_dump;
mod scopes;

use std::sync::{Mutex, PoisonError};

#[path = "../support"]
mod support {
    #[allow(dead_code, reason = "half of it is for other tests")]
    pub(crate) mod executor;
    pub(crate) mod last;
    pub(crate) mod patience;
    pub(crate) mod watchdog;
    pub(crate) mod worker;
}

/// Runs `body` while no other test runs.
fn alone(body: impl FnOnce() + Send + 'static) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    support::watchdog::within_a_minute(body);
}
