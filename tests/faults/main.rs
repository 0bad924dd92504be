//! A panic in the user's code, wherever that is called: one fault at a time, at every moment of a thread's life.
//!
//! Each place is led to once without a fault, which tells how often the user's code is called on the way; then once more for
//! each of those calls, and in that one it panics. So a call that somebody adds is covered without a line here. Afterwards
//!
//! - the panic has come to the caller, or was contained and counted once, as the kind of call asks for;
//! - everything works, on this thread and on others;
//! - nothing has run more often than without the fault (but a merge, which is tried again at the next exit), and no value
//!   has dropped twice;
//! - every value is dropped, the panic's payload too, and the bytes are given back.

#![cfg(not(loom))]

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use moments::Moment;
use places::{PLACES, Place};
use probe::{Outcome, Site, alive, wrong};
use threadctx::{contexts, stats};

mod moments;
mod places;
mod probe;

#[path = "../support"]
mod support {
    #[expect(unsafe_code, reason = "an allocator")]
    pub(crate) mod counting;
    pub(crate) mod last;
    pub(crate) mod patience;
    pub(crate) mod site;
    pub(crate) mod watchdog;
}

/// What may be held after a fault beyond what was held before it: tables of ours and of std's that have grown by a step. The
/// values of a run hold a hundred times as much.
const SLACK: isize = 4 << 10;

/// One way to one moment.
#[derive(Clone, Copy)]
struct Case {
    place: &'static Place,
    moment: &'static Moment,
    /// Whether the values hold a lot of memory in many pieces.
    heavy: bool,
    /// The values there were before: of totals, merged.
    left: usize,
}

impl Case {
    fn name(&self, what: &str) -> String {
        let weight = if self.heavy { ", heavy values" } else { "" };
        format!("{what} in {:?}, {}{weight}", self.place.name, self.moment.name)
    }

    /// Runs it, with a panic in the call of that number, if any; says which calls there were and what became of it.
    fn run(&self, fail_at: Option<usize>) -> (Vec<Site>, Outcome) {
        let Self { place, moment, heavy, .. } = *self;
        probe::prepare(heavy, fail_at, place.lead);
        let thread = thread::spawn(move || {
            (moment.come)();
            if moment.goes_on {
                places::all_is_well();
            }
        });
        thread.join().unwrap_or_else(|_| panic!("{}", self.name("the thread ended in a panic")));
        let ended = probe::take();
        self.assert_nothing_is_left(&ended.0);
        ended
    }

    fn assert_nothing_is_left(&self, calls: &[Site]) {
        // Whatever a failed merge left apart is merged by the next thread that exits.
        thread::spawn(places::all_is_well).join().unwrap();
        assert_eq!(contexts().len(), 0, "{}: a context is left", self.name(&format!("{calls:?}")));
        assert_eq!(stats().registered, stats().exited, "{}", self.name("a context is left"));
        assert_eq!(alive(), self.left, "{}: values are left", self.name(&format!("{calls:?}")));
        assert_eq!(wrong(), [""; 0], "{}", self.name("values"));
    }

    /// The run without a fault, and one for each call of the user's code; says how many those were.
    fn run_all(&self) -> usize {
        let (calls, outcome) = self.run(None);
        assert_eq!(outcome, Outcome::default(), "{}", self.name("no fault"));
        for (nth, site) in calls.iter().enumerate() {
            let held = support::counting::held();
            let (made, outcome) = self.run(Some(nth));
            let fault = self.name(&format!("a panic in call {nth}, {site:?},"));
            assert_eq!(made[..=nth], calls[..=nth], "{fault}: what came before it");
            // Where nothing is stored any more, a value drops in the call that brings it, and on the caller's account.
            let contains = self.place.contains && self.moment != &moments::GONE;
            outcome.assert_fits(*site, contains, &fault);
            for site in Site::ALL {
                let count = |calls: &[Site]| calls.iter().filter(|call| *call == site).count();
                let may_come_again = site.is_drop() || *site == Site::Merge;
                assert!(
                    may_come_again || count(&made) <= count(&calls),
                    "{fault}: {site:?} ran {} times",
                    count(&made)
                );
            }
            let kept = support::counting::held() - held;
            assert!(kept < SLACK, "{fault}: {kept} bytes are kept");
        }
        calls.len()
    }
}

/// Every place, with a fault in each call.
fn at_every_place(moment: &'static Moment) {
    // What is counted is counted for the process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    probe::hush();
    thread::spawn(places::all_is_well).join().unwrap();
    let left = alive();
    let mut faults = 0;
    for heavy in [false, true] {
        for place in PLACES {
            let case = Case { place, moment, heavy, left };
            let reached = support::watchdog::within_a_minute(move || case.run_all());
            assert!(reached > 0 || moment != &moments::ON_ITS_OWN, "{}", case.name("nothing is called"));
            faults += reached;
        }
    }
    println!("{}: {faults} faults in {} places", moment.name, PLACES.len());
    assert!(faults >= PLACES.len(), "{}: the places are not reached", moment.name);
}

/// A panic in the user's code...
mod a_panic {
    use super::{at_every_place, moments};

    #[test]
    fn on_its_own_takes_nothing_with_it() {
        at_every_place(&moments::ON_ITS_OWN);
    }

    #[test]
    fn while_everything_is_borrowed_takes_nothing_with_it() {
        at_every_place(&moments::BORROWED);
    }

    #[test]
    fn in_scopes_of_everything_takes_nothing_with_it() {
        at_every_place(&moments::SCOPED);
    }

    #[test]
    fn while_another_one_is_on_its_way_takes_nothing_with_it() {
        at_every_place(&moments::UNWINDING);
    }

    #[test]
    fn in_an_initialiser_takes_nothing_with_it() {
        at_every_place(&moments::INITIALISING);
    }

    #[test]
    fn in_a_renderer_takes_nothing_with_it() {
        at_every_place(&moments::RENDERING);
    }

    #[test]
    fn in_a_start_hook_takes_nothing_with_it() {
        at_every_place(&moments::STARTING);
    }

    #[test]
    fn in_a_contexts_exit_hook_takes_nothing_with_it() {
        at_every_place(&moments::OWN_HOOK);
    }

    #[test]
    fn in_an_exit_hook_of_all_threads_takes_nothing_with_it() {
        at_every_place(&moments::EXIT_HOOK);
    }

    #[test]
    fn in_a_keys_exit_hook_takes_nothing_with_it() {
        at_every_place(&moments::KEY_HOOK);
    }

    #[test]
    fn in_a_drop_at_the_exit_takes_nothing_with_it() {
        at_every_place(&moments::DROPPING);
    }

    #[test]
    fn at_the_end_of_the_thread_takes_nothing_with_it() {
        at_every_place(&moments::THREAD_END);
    }

    #[test]
    fn after_the_exit_takes_nothing_with_it() {
        at_every_place(&moments::GONE);
    }
}
