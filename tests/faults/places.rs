//! The places where the user's code is called, and what leads to each.

use std::{fmt, mem, thread};

use threadctx::{
    DumpOptions, Key, contexts, dump, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start,
};

use crate::probe::{Captured, Probe, Site, at};

pub(crate) struct Place {
    pub(crate) name: &'static str,
    /// Whether no panic in a drop may come out of it.
    pub(crate) contains: bool,
    pub(crate) lead: fn(),
}

const NS: &str = "faults";

pub(crate) static KEY: Key<Probe> = Key::new(NS, "key").debug().on_exit(|_| at(Site::KeyHook));
pub(crate) static SHOWN: Key<Probe> = Key::new(NS, "shown").display();
pub(crate) static JSON: Key<Probe> = Key::new(NS, "json").json();
pub(crate) static MADE: Key<Probe> = Key::new(NS, "made").debug().init(|| {
    at(Site::Init);
    Probe::new()
});
pub(crate) static TOTAL: Key<Probe> = Key::new(NS, "total").keep_total(|_, _| {
    at(Site::Merge);
    Probe::new()
});
/// Its value's drop sets another one, for ever.
static AGAIN: Key<Again> = Key::new("faults, again", "again");
/// Its value's renderer takes it out, so that the dump has the last count.
static TAKEN: Key<Taken> = Key::new(NS, "taken").debug();

struct Again(Option<Probe>);

impl Drop for Again {
    fn drop(&mut self) {
        drop(self.0.take());
        if let Err(refused) = AGAIN.try_set(Self(Some(Probe::new()))) {
            let mut last = refused.into_value();
            let probe = last.0.take();
            mem::forget(last);
            drop(probe);
        }
    }
}

struct Taken(#[expect(dead_code, reason = "it is there to be dropped")] Probe);

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        drop(TAKEN.take());
        at(Site::Debug);
        f.write_str("Taken")
    }
}

fn hook_for_ever() {
    let captured = Captured::new();
    get_thread_ctx().on_exit(move |_| {
        hook_for_ever();
        captured.run(Site::OwnHook);
    });
}

/// Something under every key and name, where there is still a context to have it.
pub(crate) fn fill() {
    for key in [&KEY, &SHOWN, &JSON, &TOTAL, &MADE] {
        key.set(Probe::new());
    }
    let namespace = get_thread_ctx().namespace(NS);
    drop(namespace.insert("name", Probe::new()));
    drop(namespace.insert("a number", 1));
}

/// Checks that everything works on this thread, and that others see it.
pub(crate) fn all_is_well() {
    fill();
    let ctx = get_thread_ctx();
    let (me, namespace) = (ctx.handle(), ctx.namespace(NS));
    for key in [&KEY, &SHOWN, &JSON, &TOTAL, &MADE] {
        assert_eq!(key.with(Probe::is_whole), Some(true));
        key.scope(Probe::new(), || key.set(Probe::new()));
        assert!(key.update(|value| *value = Probe::new()).is_some());
        assert!(key.take().is_some_and(|value| value.is_whole()) && key.get_in(&me).is_none());
        assert!(key.get_or_init(Probe::new).is_whole());
    }
    assert!(namespace.get::<Probe>("name").unwrap().is_some_and(|value| value.is_whole()));
    assert!(ctx.handle().dump().is_complete(), "a slot is stuck");
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(KEY.get_in(&me).is_some_and(|value| value.is_whole()));
            assert_eq!(contexts().len(), 1);
            assert!(get_thread_ctx().namespaces().is_empty());
            assert!(exit_thread_ctx());
        });
    });
    ctx.clear();
    assert!(namespace.names().is_empty());
    TOTAL.set(Probe::new());
    assert!(exit_thread_ctx());
}

const fn place(name: &'static str, lead: fn()) -> Place {
    Place { name, lead, contains: false }
}

const fn containing(name: &'static str, lead: fn()) -> Place {
    Place { name, lead, contains: true }
}

pub(crate) const PLACES: &[Place] = &[
    place("with", || _ = KEY.with(|_| at(Site::Closure))),
    place("with, of a first value", || _ = (MADE.take(), MADE.with(|_| at(Site::Closure)))),
    place("get, of a first value", || _ = (MADE.take(), MADE.get())),
    place("cloned", || drop(KEY.cloned())),
    place("update", || _ = KEY.update(|_| at(Site::Closure))),
    place("update, of a first value", || _ = (MADE.take(), MADE.update(|_| at(Site::Closure)))),
    place("update that writes the key", || {
        KEY.update(|value| {
            KEY.set(Probe::new());
            at(Site::Closure);
            *value = Probe::new();
        });
    }),
    place("get_or_init", || {
        drop(KEY.take());
        KEY.get_or_init(|| {
            at(Site::Closure);
            Probe::new()
        });
    }),
    place("get_or_init within get_or_init", || {
        drop(KEY.take());
        KEY.get_or_init(|| {
            KEY.get_or_init(|| {
                at(Site::Closure);
                Probe::new()
            });
            at(Site::Closure);
            Probe::new()
        });
    }),
    place("get_or_try_init", || {
        drop(KEY.take());
        let made: Result<_, Probe> = KEY.get_or_try_init(|| {
            at(Site::Closure);
            Ok(Probe::new())
        });
        drop(made);
    }),
    place("get_or_try_init, an error", || {
        drop(KEY.take());
        drop(KEY.get_or_try_init(|| {
            at(Site::Closure);
            Err(Probe::new())
        }));
    }),
    place("get_or_insert_with", || {
        let namespace = get_thread_ctx().namespace(NS);
        namespace.remove("name");
        drop(namespace.get_or_insert_with("name", || {
            at(Site::Closure);
            Probe::new()
        }));
    }),
    place("get_or_insert_with that fills the name", || {
        let namespace = get_thread_ctx().namespace(NS);
        namespace.remove("name");
        drop(namespace.get_or_insert_with("name", || {
            drop(namespace.insert("name", Probe::new()));
            Probe::new()
        }));
    }),
    place("set", || KEY.set(Probe::new())),
    place("set of a shared value", || {
        drop(KEY.get());
        KEY.set(Probe::new());
    }),
    place("set of a value that somebody has", || {
        let kept = KEY.get();
        KEY.set(Probe::new());
        drop(kept);
    }),
    place("try_set", || drop(KEY.try_set(Probe::new()))),
    place("replace", || drop(KEY.replace(Probe::new()))),
    place("take", || drop(KEY.take())),
    containing("the end of a borrow", || _ = KEY.with(|_| KEY.set(Probe::new()))),
    place("two writes in a borrow", || {
        KEY.with(|_| {
            KEY.set(Probe::new());
            KEY.set(Probe::new());
        });
    }),
    containing("the end of a borrow that a take went past", || _ = KEY.with(|_| drop(KEY.take()))),
    containing("the end of a borrow that an exit went past", || {
        KEY.with(|_| SHOWN.with(|_| exit_thread_ctx()));
    }),
    containing("the end of a scope", || KEY.scope(Probe::new(), || ())),
    place("scope", || KEY.scope(Probe::new(), || at(Site::Closure))),
    place("a write in a scope", || KEY.scope(Probe::new(), || KEY.set(Probe::new()))),
    containing("guards out of order", || {
        let (one, two) = (KEY.enter(Probe::new()), KEY.enter(Probe::new()));
        drop(one);
        drop(two);
    }),
    containing("a scope that an exit went past", || KEY.scope(Probe::new(), || _ = exit_thread_ctx())),
    place("insert", || drop(get_thread_ctx().namespace(NS).insert("name", Probe::new()))),
    place("insert in a key", || drop(get_thread_ctx().namespace(NS).insert("key", Probe::new()))),
    place("insert of another type", || {
        drop(get_thread_ctx().namespace(NS).insert("a number", Probe::new()));
    }),
    containing("remove", || _ = get_thread_ctx().namespace(NS).remove("name")),
    containing("remove of a key", || _ = get_thread_ctx().namespace(NS).remove("key")),
    containing("Namespace::clear", || get_thread_ctx().namespace(NS).clear()),
    containing("ThreadCtx::clear", || get_thread_ctx().clear()),
    place("iter", || KEY.iter().for_each(|_| at(Site::Closure))),
    place("total", || drop(TOTAL.total())),
    containing("dump", || drop((dump().to_string(), dump().to_json()))),
    containing("a dump of one", || drop(get_thread_ctx().handle().dump())),
    containing("a dump of names alone", || {
        let namespace = get_thread_ctx().namespace("faults, names");
        drop((namespace.insert("debug", Probe::new()), namespace.insert_json("json", Probe::new())));
        drop(DumpOptions::new().namespace("faults, names").take());
        namespace.clear();
    }),
    containing("a dump that has the last count", || {
        TAKEN.set(Taken(Probe::new()));
        drop(get_thread_ctx().handle().dump());
    }),
    containing("an exit", || _ = exit_thread_ctx()),
    containing("an exit whose rounds end with values left", || {
        AGAIN.set(Again(Some(Probe::new())));
        exit_thread_ctx();
    }),
    containing("an exit whose rounds end with hooks left", || {
        hook_for_ever();
        exit_thread_ctx();
    }),
    containing("two exits, with a merge", || {
        exit_thread_ctx();
        TOTAL.get_or_init(Probe::new);
        exit_thread_ctx();
    }),
    containing("a context's hook", || {
        let (one, two) = (Captured::new(), Captured::new());
        get_thread_ctx().on_exit(move |_| one.run(Site::OwnHook));
        get_thread_ctx().on_exit(move |_| two.run(Site::OwnHook));
        exit_thread_ctx();
    }),
    containing("hooks of all threads at their start", || {
        exit_thread_ctx();
        let _hooks = [(); 2].map(|()| {
            let captured = Captured::new();
            on_thread_start(move |_| captured.run(Site::StartHook))
        });
        get_thread_ctx();
    }),
    containing("hooks of all threads at their exit", || {
        let _hooks = [(); 2].map(|()| {
            let captured = Captured::new();
            on_thread_exit(move |_| captured.run(Site::ExitHook))
        });
        get_thread_ctx();
        exit_thread_ctx();
    }),
    containing("a hook that removes itself", || {
        use std::sync::{Arc, Mutex};
        let guard = Arc::new(Mutex::new(None));
        let (captured, own) = (Captured::new(), Arc::clone(&guard));
        let hook = on_thread_exit(move |_| {
            let own = own.lock().unwrap().take();
            drop(own);
            captured.run(Site::ExitHook);
        });
        *guard.lock().unwrap() = Some(hook);
        get_thread_ctx();
        exit_thread_ctx();
        let left = guard.lock().unwrap().take();
        drop(left);
    }),
    containing("the removal of hooks", || {
        let (one, two) = (Captured::new(), Captured::new());
        drop(on_thread_start(move |_| one.run(Site::StartHook)));
        drop(on_thread_exit(move |_| two.run(Site::ExitHook)));
    }),
    place("another thread, which ends at once", || {
        let thread = thread::spawn(|| {
            KEY.set(Probe::new());
            get_thread_ctx().on_exit(|_| at(Site::OwnHook));
        });
        thread.join().expect("its exit contains everything");
    }),
];
