//! A context with something of everything in it that an exit has to see to, and what must be said of it, in order.

use std::sync::OnceLock;

use threadctx::{HookGuard, Key, State, context, get_thread_ctx, on_thread_exit};

use crate::solo::{say, verdict};

/// What an exit of a context from [`fill`] says, once.
pub(crate) const ORDERLY: &[&str] = &[
    "context hook 2",
    "context hook 1",
    "thread hook 2",
    "thread hook 1",
    "hook of newest",
    "drop of newest",
    "drop of named",
    "hook of refilled",
    "drop of refilled",
    "drop of oldest",
];

/// What is said of the same context where other threads dump it meanwhile: whoever looks at a value decides when it drops, and
/// no dump looks at one that it does not show.
#[allow(dead_code, reason = "one file needs it")]
pub(crate) const OF_THE_UNSEEN: &[&[&str]] = &[ORDERLY.split_at(6).0, ORDERLY.split_at(7).1.split_at(2).0];

/// Says when it drops, unless it is to keep quiet.
#[derive(Debug)]
struct Spoken(&'static str, Drops);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Drops {
    Aloud,
    Quietly,
}

impl Drop for Spoken {
    fn drop(&mut self) {
        if self.1 == Drops::Aloud {
            say(&format!("drop of {}", self.0));
        }
    }
}

static OLDEST: Key<Spoken> = Key::new("orderly", "oldest").debug();
static REFILLED: Key<Spoken> = Key::new("orderly", "refilled").on_exit(|value| in_exit("hook of ", value.0));
static NEWEST: Key<Spoken> = Key::new("orderly", "newest").on_exit(|value| in_exit("hook of ", value.0));

/// What every hook must find: the context is listed, says that it exits, and what is older is there to be read.
fn in_exit(what: &str, whose: &str) {
    verdict(|| {
        let handle = get_thread_ctx().handle();
        assert_eq!(handle.state(), State::Exiting);
        assert!(context(handle.ident()).is_some());
        assert_eq!(OLDEST.with(|value| value.0), Some("oldest"));
        assert!(handle.namespace("orderly").contains("named") != (whose == "refilled"));
    });
    say(&format!("{what}{whose}"));
}

/// Registers the hooks for all threads, once.
pub(crate) fn watch_threads() {
    static HOOKS: OnceLock<[HookGuard; 2]> = OnceLock::new();
    let hook = |number| {
        on_thread_exit(move |_| {
            // Other threads of the scenario exit too.
            if OLDEST.get().is_some() {
                in_exit("thread hook ", number);
            }
        })
    };
    HOOKS.get_or_init(|| [hook("1"), hook("2")]);
}

/// Fills the current context.
pub(crate) fn fill() {
    fill_with(Drops::Aloud);
}

/// The same where other threads look on: see [`OF_THE_UNSEEN`].
#[allow(dead_code, reason = "one file needs it")]
pub(crate) fn fill_under_eyes() {
    fill_with(Drops::Quietly);
}

/// `shown`: how the values go that dumps show.
fn fill_with(shown: Drops) {
    watch_threads();
    let ctx = get_thread_ctx();
    REFILLED.set(Spoken("", Drops::Quietly));
    OLDEST.set(Spoken("oldest", shown));
    drop(REFILLED.take());
    REFILLED.set(Spoken("refilled", Drops::Aloud));
    ctx.namespace("orderly").insert("named", Spoken("named", shown)).expect("the name is free");
    NEWEST.set(Spoken("newest", Drops::Aloud));
    ctx.on_exit(|_| in_exit("context hook ", "1"));
    ctx.on_exit(|_| in_exit("context hook ", "2"));
}
