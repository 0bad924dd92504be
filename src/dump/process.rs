//! What a dump says of the process and the time.

use std::{
    collections::hash_map::RandomState,
    env, fs,
    hash::BuildHasher,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use once_cell::race::OnceBox;

use super::picture::Process;
use crate::{clock, os, registry};

/// What stays the same as long as the process lives, noted by its first dump or outlet: later there may be no descriptor left to
/// ask with, and the program's file may have been replaced.
struct Noted {
    pid: u32,
    /// Counts forks: a child in a pid namespace of its own may have its parent's number.
    generation: u32,
    name: String,
    start_ticks: Option<u64>,
    boot_id: Option<String>,
    image_id: String,
    /// The time of the first dump, from which the age counts where the system does not tell.
    first: u64,
    /// In a forked child: its own.
    child: OnceBox<Noted>,
}

/// The process as it is now.
pub(super) fn this() -> Process {
    let noted = noted();
    Process {
        pid: noted.pid,
        name: noted.name.clone(),
        uptime_us: noted.uptime().as_micros().try_into().unwrap_or(u64::MAX),
        start_ticks: noted.start_ticks,
        boot_id: noted.boot_id.clone(),
        image_id: noted.image_id.clone(),
    }
}

/// Asks what stays the same, while there is something to ask with.
#[cfg(not(any(loom, shuttle)))]
pub(crate) fn note() {
    noted();
}

fn noted() -> &'static Noted {
    static FIRST: OnceBox<Noted> = OnceBox::new();
    let (pid, generation) = (std::process::id(), registry::process());
    // Not a `OnceLock`: a forked child must not wait for a thread that it does not have.
    let mut noted = FIRST.get_or_init(|| Box::new(Noted::now(pid, generation)));
    while (noted.pid, noted.generation) != (pid, generation) {
        noted = noted.child.get_or_init(|| Box::new(Noted::now(pid, generation)));
    }
    noted
}

impl Noted {
    fn now(pid: u32, generation: u32) -> Self {
        Self {
            pid,
            generation,
            name: name().unwrap_or_else(|| "?".to_owned()),
            start_ticks: start_ticks(),
            boot_id: boot_id(),
            // Each hasher of std's has keys of its own, which are random in each program.
            image_id: format!("{:016x}", RandomState::new().hash_one(pid)),
            first: clock::now(),
            child: OnceBox::new(),
        }
    }

    /// Since its start, the time included for which the machine slept.
    fn uptime(&self) -> Duration {
        let since_start = || os::since_boot()?.checked_sub(from_ticks(self.start_ticks?));
        since_start().unwrap_or_else(|| clock::since(self.first))
    }
}

/// The name of the program's file. Linux adds a word to that of a file that was removed.
fn name() -> Option<String> {
    let file = env::current_exe().ok()?;
    let name = file.file_name()?.to_string_lossy();
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    Some(Path::new(name).file_stem()?.to_string_lossy().into_owned())
}

/// From the system's own books, where they are open: Linux.
fn start_ticks() -> Option<u64> {
    let stat = fs::read("/proc/self/stat").ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field, a name in parentheses, may hold anything; the start is the 20th field after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn from_ticks(ticks: u64) -> Duration {
    // A hundred in a second: the same on every Linux that userland sees.
    Duration::from_millis(ticks.saturating_mul(10))
}

fn boot_id() -> Option<String> {
    Some(fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
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
    fn a_process_is_noted_once_and_a_child_notes_itself() {
        let one = noted();
        assert!(std::ptr::eq(one, noted()));
        assert_eq!(one.pid, std::process::id());
        assert!(one.uptime() >= Duration::ZERO && !one.name.contains("deleted"));
    }

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
