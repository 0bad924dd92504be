//! The moments of a thread's life at which the user's code may be called.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
};

use threadctx::{Key, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start};

use crate::{
    places::{JSON, KEY, MADE, SHOWN, TOTAL, fill},
    probe::{self, OnItsWay, Probe},
    support::last::after_the_exit,
};

pub(crate) struct Moment {
    pub(crate) name: &'static str,
    /// Comes to the moment, on a new thread, and makes the attempt then.
    pub(crate) come: fn(),
    /// Whether the thread can still be used afterwards.
    pub(crate) goes_on: bool,
}

impl PartialEq for Moment {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const NS: &str = "faults, moments";

/// Makes the attempt, with everything filled, unless it was made: hooks for all threads come here on every thread.
fn now() {
    if probe::is_to_come() {
        fill();
        probe::attempt();
    }
}

/// Makes the attempt when it drops or is rendered.
struct Then;

impl Drop for Then {
    fn drop(&mut self) {
        now();
    }
}

impl fmt::Debug for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        now();
        f.write_str("Then")
    }
}

pub(crate) static ON_ITS_OWN: Moment = Moment { name: "on its own", come: now, goes_on: true };

pub(crate) static BORROWED: Moment = Moment {
    name: "while everything is borrowed",
    come: || {
        fill();
        KEY.with(|_| SHOWN.with(|_| JSON.with(|_| MADE.with(|_| TOTAL.with(|_| probe::attempt())))));
    },
    goes_on: true,
};

pub(crate) static SCOPED: Moment = Moment {
    name: "in scopes of everything",
    come: || {
        fill();
        let _scopes = [&KEY, &SHOWN, &JSON, &MADE, &TOTAL].map(|key| key.enter(Probe::new()));
        probe::attempt();
    },
    goes_on: true,
};

pub(crate) static UNWINDING: Moment = Moment {
    name: "while a panic is on its way",
    come: || {
        let unwinds = || {
            let _then = Then;
            panic::panic_any(OnItsWay);
        };
        let payload = panic::catch_unwind(AssertUnwindSafe(unwinds)).expect_err("it panicked");
        assert!(payload.is::<OnItsWay>(), "it is the same one still");
    },
    goes_on: true,
};

pub(crate) static INITIALISING: Moment = Moment {
    name: "in an initialiser",
    come: || {
        static FIRST: Key<u8> = Key::new(NS, "first").init(|| {
            now();
            1
        });
        assert_eq!(FIRST.cloned(), Some(1));
    },
    goes_on: true,
};

pub(crate) static RENDERING: Moment = Moment {
    name: "in a renderer",
    come: || {
        static RENDERED: Key<Then> = Key::new(NS, "rendered").debug();
        RENDERED.set(Then);
        let dump = get_thread_ctx().handle().dump().to_string();
        assert!(dump.contains("rendered = Then"), "{dump}");
        drop(RENDERED.take());
    },
    goes_on: true,
};

pub(crate) static STARTING: Moment = Moment {
    name: "in a start hook",
    come: || {
        let _hook = on_thread_start(|_| now());
        get_thread_ctx();
    },
    goes_on: true,
};

pub(crate) static OWN_HOOK: Moment = Moment {
    name: "in a context's exit hook",
    come: || {
        get_thread_ctx().on_exit(|_| now());
        exit_thread_ctx();
    },
    goes_on: true,
};

pub(crate) static EXIT_HOOK: Moment = Moment {
    name: "in an exit hook of all threads",
    come: || {
        let _hook = on_thread_exit(|_| now());
        get_thread_ctx();
        exit_thread_ctx();
    },
    goes_on: true,
};

pub(crate) static KEY_HOOK: Moment = Moment {
    name: "in a key's exit hook",
    come: || {
        static HOOKED: Key<u8> = Key::new(NS, "hooked").on_exit(|_| now());
        HOOKED.set(1);
        exit_thread_ctx();
    },
    goes_on: true,
};

pub(crate) static DROPPING: Moment = Moment {
    name: "in a drop at the exit",
    come: || {
        static DROPPED: Key<Then> = Key::new(NS, "dropped");
        DROPPED.set(Then);
        exit_thread_ctx();
    },
    goes_on: true,
};

/// What the place leaves behind is what the end of the thread has to do with.
pub(crate) static THREAD_END: Moment = Moment {
    name: "at the end of the thread, afterwards",
    come: || {
        fill();
        probe::take_lead().expect("it comes once")();
        fill();
        probe::open();
    },
    goes_on: false,
};

pub(crate) static GONE: Moment =
    Moment { name: "after the exit", come: || after_the_exit(now), goes_on: false };
