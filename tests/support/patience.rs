//! How long is too long.

use std::{env, time::Duration};

/// How many times as long everything may take, where a tool that looks on makes it slow.
pub(crate) fn patience() -> u32 {
    env::var("THREADCTX_PATIENCE").map_or(1, |times| times.parse().expect("THREADCTX_PATIENCE is a number"))
}

/// What nothing should take.
#[allow(dead_code, reason = "not every program waits for single calls")]
pub(crate) fn minute() -> Duration {
    Duration::from_secs(60) * patience()
}
