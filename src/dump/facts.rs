//! What the operating system says of a thread that is in the picture.

use crate::registry;

/// The facts of one thread. Where the system does not tell, there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// In a word: `running`, `sleeping`, ..., or [`GONE`].
    pub(super) run_state: Option<&'static str>,
    /// The processor time it has used so far, in microseconds.
    pub(super) cpu_us: Option<u64>,
}

/// The run state of a thread that does not exist any more though its context does: a finding of its own.
pub(super) const GONE: &str = "gone";

/// The facts of the thread that the system knows by this number. Who asks looks at the state of the context afterwards: one
/// that is not [`Exited`](crate::State::Exited) though its thread is `GONE` has not had its exit, and will not.
pub(super) fn of(os_tid: u64) -> Facts {
    let gone = || {
        (registry::has_thread(os_tid) == Some(false)).then_some(Facts { run_state: Some(GONE), cpu_us: None })
    };
    books::of(os_tid).or_else(gone).unwrap_or_default()
}

/// The system's own books, where they are open.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod books {
    use std::fs;

    use super::Facts;

    /// Microseconds in a tick of `/proc`: there are 100 ticks in a second on every Linux that userland sees.
    const TICK_US: u64 = 10_000;

    pub(super) fn of(os_tid: u64) -> Option<Facts> {
        // As bytes: the name in it may be no text.
        let stat = fs::read(format!("/proc/self/task/{os_tid}/stat")).ok()?;
        parse(&String::from_utf8_lossy(&stat))
    }

    /// The third field is the state; the 14th and 15th are the time in the program and in the system.
    pub(super) fn parse(stat: &str) -> Option<Facts> {
        // The second field, a name in parentheses, may hold anything, parentheses too.
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let run_state = word(fields.next()?);
        let mut ticks = fields.skip(10).map_while(|field| field.parse::<u64>().ok());
        let cpu_us = ticks.next().zip(ticks.next()).map(|(user, system)| (user + system) * TICK_US);
        Some(Facts { run_state, cpu_us })
    }

    fn word(letter: &str) -> Option<&'static str> {
        Some(match letter {
            "R" => "running",
            "S" => "sleeping",
            "D" => "waiting for the disk",
            "T" | "t" => "stopped",
            "I" => "idle",
            "Z" | "X" | "x" => "ending",
            _ => return None,
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod books {
    pub(super) fn of(_: u64) -> Option<super::Facts> {
        None
    }
}

#[cfg(all(test, not(any(loom, shuttle)), any(target_os = "linux", target_os = "android")))]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::os;

    #[test]
    fn fields_are_found_behind_any_name() {
        let after = "S 1 2 3 4 5 6 7 8 9 10 21 4 15 16 17 18 19 20";
        for name in ["worker", "a b", "R) 1 (", "", "((", "\u{fffd}"] {
            let facts = books::parse(&format!("42 ({name}) {after}"));
            assert_eq!(facts, Some(Facts { run_state: Some("sleeping"), cpu_us: Some(250_000) }), "{name}");
        }
        assert_eq!(books::parse("42 worker S"), None);
        assert_eq!(books::parse("42 (w) ? 1 2"), Some(Facts::default()));
    }

    #[test]
    fn a_thread_that_waits_sleeps_and_one_that_is_over_is_gone() {
        let (send, receive) = mpsc::channel();
        let (end, over) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            send.send(os::thread_number()).expect("we wait");
            over.recv().expect_err("it hangs up");
        });
        let number = receive.recv().expect("it comes");
        while of(number).run_state != Some("sleeping") {
            thread::yield_now();
        }
        assert!(of(number).cpu_us.is_some());
        drop(end);
        thread.join().expect("it ends");
        // A join does not wait for the system to have forgotten the thread.
        while of(number) != (Facts { run_state: Some(GONE), cpu_us: None }) {
            thread::yield_now();
        }
    }

    #[test]
    fn time_on_the_processor_is_counted() {
        let me = os::thread_number();
        let mut sum = 0_u64;
        while of(me).cpu_us < Some(20_000) {
            sum = std::hint::black_box((0..100_000).fold(sum, |sum, n| sum ^ n));
        }
        assert_eq!(of(me).run_state, Some("running"));
    }
}
