//! What a dump says of the process and the time.

use std::{
    env, fs,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::picture::Process;
use crate::clock;

/// The process as it is now.
pub(super) fn this() -> Process {
    let uptime = uptime().unwrap_or_else(since_first_asked);
    Process {
        pid: std::process::id(),
        name: name().unwrap_or_else(|| "?".to_owned()),
        uptime_us: uptime.as_micros().try_into().unwrap_or(u64::MAX),
    }
}

fn name() -> Option<String> {
    Some(env::current_exe().ok()?.file_stem()?.to_string_lossy().into_owned())
}

/// From the system's own books, where they are open: Linux.
fn uptime() -> Option<Duration> {
    /// Ticks per second in `/proc`: the same on every Linux that userland sees.
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, a name in parentheses, may hold anything; the start is the 20th field after it.
    let after_name = stat.rsplit_once(')')?.1;
    let started: f64 = after_name.split_whitespace().nth(19)?.parse().ok()?;
    let system: f64 = fs::read_to_string("/proc/uptime").ok()?.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(system - started / TICKS).ok()
}

fn since_first_asked() -> Duration {
    static FIRST: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the time alone matters. Not a `OnceLock`: a forked child must not wait for a thread that it does not have.
    let first = FIRST.compare_exchange(0, clock::now(), Ordering::Relaxed, Ordering::Relaxed);
    clock::since(first.map_or_else(|first| first, |_| clock::now()))
}

/// The present moment as RFC 3339 has it, in UTC, to the millisecond.
pub(super) fn now() -> String {
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn rfc3339(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let millis = since_epoch.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The Gregorian date so many days after 1970-01-01. Years are counted from March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_795_396_054, "2026-11-23T01:07:34.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(Duration::from_secs(seconds)), date);
        }
    }
}
