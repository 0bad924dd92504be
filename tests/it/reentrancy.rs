//! Promise 3: no user code runs under a lock, map guard or borrow of ours.
//!
//! Every place where code of the user's is called, times every call of the crate, each pair on a thread of its own. Place
//! and call use the same keys and names, since that is where a lock or a borrow would be met again.

use std::{
    cell::Cell,
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::mpsc,
    thread,
};

use threadctx::{
    DumpOptions, Key, State, context, contexts, dump, exit_thread_ctx, get_thread_ctx, on_thread_exit,
    on_thread_start, stats, try_get_thread_ctx,
};

use crate::support::{
    calls,
    last::after_the_exit,
    leaked::leaked,
    site::{Site, tells_who_renders_it},
    watchdog::within_a_minute,
    worker::Worker,
};

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    NotRun,
    Returned,
    Panicked,
}

type Armed = (Site, fn());

thread_local! {
    /// What to call, once, at which site. Without a destructor: exit hooks and drops come here too.
    static ARMED: Cell<Option<Armed>> = const { Cell::new(None) };
    static OUTCOME: Cell<Outcome> = const { Cell::new(Outcome::NotRun) };
    /// Where the call is being made.
    static SITE: Cell<Option<Site>> = const { Cell::new(None) };
}

/// A value whose every trait calls back.
struct Probe;

fn at(site: Site) {
    if ARMED.get().is_some_and(|(armed, _)| armed == site) {
        let Some((_, call)) = ARMED.take() else { return };
        SITE.set(Some(site));
        let outcome = match panic::catch_unwind(AssertUnwindSafe(call)) {
            Ok(()) => Outcome::Returned,
            Err(_) => Outcome::Panicked,
        };
        OUTCOME.set(outcome);
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        at(Site::Clone);
        Self
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        at(Site::Drop);
    }
}

tells_who_renders_it!(Probe, at);

/// What runs as the hook of a thread, until it drops.
struct HookDrops;

impl HookDrops {
    fn run(&self, site: Site) {
        at(site);
    }
}

impl Drop for HookDrops {
    fn drop(&mut self) {
        at(Site::HookDrop);
    }
}

const NS: &str = "reentrancy";

static KEY: Key<Probe> = Key::new(NS, "key").debug().on_exit(|_| at(Site::KeyHook));
static SHOWN: Key<Probe> = Key::new(NS, "shown").display();
static JSON: Key<Probe> = Key::new(NS, "json").json();
static MADE: Key<Probe> = Key::new(NS, "made").debug().init(|| {
    at(Site::Init);
    Probe
});
static TOTAL: Key<Probe> = Key::new(NS, "total").keep_total(|_, _| {
    at(Site::Merge);
    Probe
});

fn merged() -> Key<Probe> {
    Key::new(NS, "merged at exit").keep_total(|_, _| {
        at(Site::Merge);
        Probe
    })
}

type Call = (&'static str, fn());

/// Every call of the crate.
const CALLS: &[Call] = &[
    ("Key::with", || _ = KEY.with(|_| ())),
    ("Key::get", || drop(KEY.get())),
    ("Key::cloned", || drop(KEY.cloned())),
    ("Key::set", || KEY.set(Probe)),
    ("Key::try_set", || drop(KEY.try_set(Probe))),
    ("Key::replace", || drop(KEY.replace(Probe))),
    ("Key::take", || drop(KEY.take())),
    ("Key::update", || _ = KEY.update(|value| *value = Probe)),
    ("Key::get_or_init", || drop(KEY.get_or_init(|| Probe))),
    ("Key::get_or_try_init", || drop(KEY.get_or_try_init(|| Ok::<_, ()>(Probe)))),
    ("Key::get_or_try_init, an error", || drop(KEY.get_or_try_init(|| Err(())))),
    ("Key::scope", || KEY.scope(Probe, || drop(KEY.get()))),
    ("Key::enter", || drop(KEY.enter(Probe))),
    ("Key::check", || KEY.check().unwrap()),
    ("Key::get_in", || drop(KEY.get_in(&get_thread_ctx().handle()))),
    ("Key::iter", || drop(KEY.iter().collect::<Vec<_>>())),
    ("Key::total", || drop(TOTAL.total())),
    ("Key with an initialiser", || {
        drop(MADE.get());
        _ = MADE.update(|value| *value = Probe);
        drop(MADE.take());
        _ = MADE.with(|_| ());
    }),
    ("all keys anew", || {
        drop(SHOWN.replace(Probe));
        drop(JSON.replace(Probe));
        drop(TOTAL.replace(Probe));
        drop(MADE.replace(Probe));
        drop(KEY.replace(Probe));
    }),
    ("a key's first use", || {
        let name = format!("{:?}", thread::current().id());
        let key: &Key<Probe> = leaked(Key::new("reentrancy first use", name.leak()));
        key.set(Probe);
    }),
    ("Namespace::insert", || drop(get_thread_ctx().namespace(NS).insert("name", Probe))),
    ("Namespace::insert of a key", || drop(get_thread_ctx().namespace(NS).insert("key", Probe))),
    ("Namespace::insert_json", || drop(get_thread_ctx().namespace(NS).insert_json("name", Probe))),
    ("Namespace::insert_opaque", || drop(get_thread_ctx().namespace(NS).insert_opaque("name", Probe))),
    ("Namespace::insert_secret", || drop(get_thread_ctx().namespace(NS).insert_secret("name", Probe))),
    ("Namespace::insert of another type", || {
        drop(get_thread_ctx().namespace(NS).insert("key", 1));
        drop(get_thread_ctx().namespace(NS).insert("a number", 1));
    }),
    ("Namespace::get", || drop(get_thread_ctx().namespace(NS).get::<Probe>("name"))),
    ("Namespace::get_or_insert_with", || {
        drop(get_thread_ctx().namespace(NS).get_or_insert_with("name", || Probe));
    }),
    ("Namespace::remove", || {
        get_thread_ctx().namespace(NS).remove("name");
        get_thread_ctx().namespace(NS).remove("key");
    }),
    ("Namespace::contains and names", || {
        get_thread_ctx().namespace(NS).contains("name");
        get_thread_ctx().namespace(NS).names();
    }),
    ("Namespace::clear", || get_thread_ctx().namespace(NS).clear()),
    ("ThreadCtx::clear", || get_thread_ctx().clear()),
    ("ThreadCtx::namespaces", || drop(get_thread_ctx().namespaces())),
    ("ThreadCtx::on_exit", || get_thread_ctx().on_exit(|_| KEY.set(Probe))),
    ("ThreadCtx::ident", || drop(get_thread_ctx().ident().to_string())),
    ("try_get_thread_ctx", || drop(try_get_thread_ctx())),
    ("exit_thread_ctx", || _ = exit_thread_ctx()),
    ("exit_thread_ctx, then a new start", || {
        exit_thread_ctx();
        KEY.set(Probe);
    }),
    ("ContextRef", || {
        let me = get_thread_ctx().handle();
        let names = me.namespace(NS).names();
        drop((names, me.namespace(NS).get::<Probe>("name"), me.namespace(NS).contains("key")));
        drop((me.state(), me.os_tid(), me.parent(), format!("{me:?}")));
    }),
    ("ContextRef::dump", || drop(get_thread_ctx().handle().dump().to_json())),
    ("context", || drop(context(thread::current().id()))),
    ("contexts", || drop(contexts())),
    ("stats", || _ = stats()),
    ("dump", || drop((dump().to_string(), dump().to_json()))),
    ("DumpOptions", || drop(DumpOptions::new().namespace(NS).take())),
    ("Dump", || {
        let dump = dump();
        drop((dump.is_complete(), format!("{dump:?}"), serde_json::to_value(&dump).unwrap()));
    }),
    ("ContextRef of another", || {
        for other in contexts() {
            drop((KEY.get_in(&other), other.namespace(NS).get::<Probe>("name"), other.dump()));
            drop((other.thread_name().map(str::to_owned), format!("{:?}", other.namespace(NS))));
        }
    }),
    ("guards that drop out of order", || {
        let (one, two) = (KEY.enter(Probe), KEY.enter(Probe));
        drop(one);
        drop(two);
    }),
    ("on_thread_start", || drop(on_thread_start(|_| ()))),
    ("on_thread_exit", || drop(on_thread_exit(|_| ()))),
    ("another thread", || thread::spawn(|| KEY.set(Probe)).join().unwrap()),
];

type Place = (&'static str, Site, fn());

/// Every place where code of the user's runs: the site that it reaches, and what leads there.
const PLACES: &[Place] = &[
    ("with", Site::Closure, || _ = KEY.with(|_| at(Site::Closure))),
    ("with of a first value", Site::Init, || _ = MADE.with(|_| ())),
    ("update", Site::Closure, || _ = KEY.update(|_| at(Site::Closure))),
    ("get_or_init", Site::Closure, || {
        drop(KEY.take());
        KEY.get_or_init(|| {
            at(Site::Closure);
            Probe
        });
    }),
    ("get_or_try_init", Site::Closure, || {
        drop(KEY.take());
        drop(KEY.get_or_try_init(|| {
            at(Site::Closure);
            Err(())
        }));
    }),
    ("get_or_insert_with", Site::Closure, || {
        get_thread_ctx().namespace(NS).remove("name");
        drop(get_thread_ctx().namespace(NS).get_or_insert_with("name", || {
            at(Site::Closure);
            Probe
        }));
    }),
    ("init by get", Site::Init, || drop(MADE.get())),
    ("init by update", Site::Init, || _ = MADE.update(|_| ())),
    ("scope", Site::Closure, || KEY.scope(Probe, || at(Site::Closure))),
    ("between two of iter", Site::Closure, || KEY.iter().for_each(|_| at(Site::Closure))),
    ("Clone in cloned", Site::Clone, || drop(KEY.cloned())),
    ("Clone in update", Site::Clone, || _ = KEY.update(|_| ())),
    ("Clone in total", Site::Clone, || drop(TOTAL.total())),
    ("Drop by set", Site::Drop, || KEY.set(Probe)),
    ("Drop by set of a shared value", Site::Drop, || {
        drop(KEY.get());
        KEY.set(Probe);
    }),
    ("Drop by try_set", Site::Drop, || drop(KEY.try_set(Probe))),
    ("Drop by update", Site::Drop, || _ = KEY.update(|_| ())),
    ("Drop of what replace gave", Site::Drop, || drop(KEY.replace(Probe))),
    ("Drop of what take gave", Site::Drop, || drop(KEY.take())),
    ("Drop at the end of a borrow", Site::Drop, || _ = KEY.with(|_| KEY.set(Probe))),
    ("Drop at the end of a borrow that an exit went past", Site::Drop, || {
        KEY.with(|_| {
            let armed = ARMED.take();
            exit_thread_ctx();
            ARMED.set(armed);
        });
    }),
    ("Drop at a scope's end", Site::Drop, || KEY.scope(Probe, || ())),
    ("Drop at a guard's end", Site::Drop, || drop(KEY.enter(Probe))),
    ("Drop inside a scope", Site::Drop, || KEY.scope(Probe, || KEY.set(Probe))),
    ("Drop of what came too late", Site::Drop, || {
        drop(KEY.take());
        KEY.get_or_init(|| {
            KEY.set(Probe);
            Probe
        });
    }),
    ("Drop by insert", Site::Drop, || drop(get_thread_ctx().namespace(NS).insert("name", Probe))),
    ("Drop by insert in a key", Site::Drop, || drop(get_thread_ctx().namespace(NS).insert("key", Probe))),
    ("Drop of a refused value", Site::Drop, || {
        drop(get_thread_ctx().namespace(NS).insert("a number", Probe));
    }),
    ("Drop by remove", Site::Drop, || _ = get_thread_ctx().namespace(NS).remove("name")),
    ("Drop by remove of a key", Site::Drop, || _ = get_thread_ctx().namespace(NS).remove("key")),
    ("Drop by Namespace::clear", Site::Drop, || get_thread_ctx().namespace(NS).clear()),
    ("Drop by ThreadCtx::clear", Site::Drop, || get_thread_ctx().clear()),
    ("Drop at exit", Site::Drop, || _ = exit_thread_ctx()),
    ("Drop of a total", Site::Drop, || drop(TOTAL.total())),
    ("Debug", Site::Debug, || drop(dump().to_string())),
    ("Debug in a dump of one", Site::Debug, || drop(get_thread_ctx().handle().dump())),
    ("Display", Site::Display, || drop(dump().to_json())),
    ("Serialize", Site::Serialize, || drop(DumpOptions::new().namespace(NS).take())),
    ("a hook at thread start", Site::StartHook, || {
        exit_thread_ctx();
        let hook = HookDrops;
        let _hook = on_thread_start(move |_| hook.run(Site::StartHook));
        get_thread_ctx();
    }),
    ("a hook at thread exit", Site::ExitHook, || {
        let hook = HookDrops;
        let _hook = on_thread_exit(move |_| hook.run(Site::ExitHook));
        exit_thread_ctx();
    }),
    ("Drop of a hook for threads", Site::HookDrop, || {
        let hook = HookDrops;
        drop(on_thread_start(move |_| hook.run(Site::StartHook)));
    }),
    ("Drop of a hook for threads that has run", Site::HookDrop, || {
        let hook = HookDrops;
        let guard = on_thread_exit(move |_| hook.run(Site::ExitHook));
        exit_thread_ctx();
        drop(guard);
    }),
    ("a context's hook", Site::OwnHook, || {
        get_thread_ctx().on_exit(|_| at(Site::OwnHook));
        exit_thread_ctx();
    }),
    ("Drop of a context's hook", Site::HookDrop, || {
        let hook = HookDrops;
        get_thread_ctx().on_exit(move |_| hook.run(Site::OwnHook));
        exit_thread_ctx();
    }),
    ("a key's hook", Site::KeyHook, || _ = exit_thread_ctx()),
    ("merge in total", Site::Merge, || drop(TOTAL.total())),
    ("merge at exit", Site::Merge, || {
        // A key of one's own: other threads of this test must not take the values to be merged.
        let key: &Key<Probe> = leaked(merged());
        for _ in 0..2 {
            key.set(Probe);
            exit_thread_ctx();
        }
    }),
    ("Drop of what get_or_insert_with made in vain", Site::Drop, || {
        let namespace = get_thread_ctx().namespace(NS);
        namespace.remove("name");
        drop(namespace.get_or_insert_with("name", || {
            drop(namespace.insert("name", Probe));
            Probe
        }));
    }),
    ("Drop at the end of guards out of order", Site::Drop, || {
        let (one, two) = (KEY.enter(Probe), KEY.enter(Probe));
        drop(one);
        drop(two);
    }),
    ("Drop at the end of a scope that an exit went past", Site::Drop, || {
        KEY.scope(Probe, || {
            let armed = ARMED.take();
            exit_thread_ctx();
            ARMED.set(armed);
        });
    }),
    ("Drop at the end of a scope that a panic ends", Site::Drop, || {
        let scope = || KEY.scope(Probe, || panic::resume_unwind(Box::new(())));
        assert!(panic::catch_unwind(AssertUnwindSafe(scope)).map(drop).is_err());
    }),
    ("Drop of a hook's panic", Site::Drop, || {
        get_thread_ctx().on_exit(|_| panic::resume_unwind(Box::new(Probe)));
        exit_thread_ctx();
    }),
    ("Drop of a renderer's panic", Site::Drop, || {
        struct Panics;
        impl fmt::Debug for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic::resume_unwind(Box::new(Probe))
            }
        }
        get_thread_ctx().namespace("reentrancy, panics").insert("panics", Panics).unwrap();
        drop(DumpOptions::new().namespace("reentrancy, panics").take());
    }),
    ("a hook in the first touch that a write is", Site::StartHook, || {
        exit_thread_ctx();
        let _hook = on_thread_start(|_| at(Site::StartHook));
        KEY.set(Probe);
    }),
    ("the end of the thread", Site::Closure, || {
        struct AtTheEnd;
        impl Drop for AtTheEnd {
            fn drop(&mut self) {
                at(Site::Closure);
            }
        }
        get_thread_ctx().on_exit(|_| drop(AtTheEnd));
        exit_thread_ctx();
    }),
];

/// Runs one pair with every key and name filled; says what became of the call.
fn run((_, site, lead): Place, (_, call): Call) -> Outcome {
    let everywhere = || {
        for key in [&KEY, &SHOWN, &JSON, &TOTAL] {
            key.set(Probe);
        }
        let namespace = get_thread_ctx().namespace(NS);
        namespace.insert("name", Probe).unwrap();
        namespace.insert("a number", 1).unwrap();
    };
    everywhere();
    ARMED.set(Some((site, call)));
    lead();
    ARMED.set(None);
    OUTCOME.get()
}

/// Makes an attempt on a thread of its own; again, if the place was not reached: a hook that is removed drops elsewhere if
/// a thread of another test is running the hooks just then.
fn until_reached(attempt: impl Fn() -> Outcome + Copy + Send + 'static) -> Outcome {
    let outcomes = (0..20).map(|_| within_a_minute(attempt));
    outcomes.into_iter().find(|outcome| *outcome != Outcome::NotRun).unwrap_or(Outcome::NotRun)
}

#[test]
fn every_call_works_from_every_place_where_the_users_code_runs() {
    // A second context with all the keys: totals and iterations have something to go on with.
    let other = Worker::start();
    other.run(|| [&KEY, &SHOWN, &JSON, &TOTAL].iter().for_each(|key| key.set(Probe)));
    let mut missed = Vec::new();
    for place in PLACES {
        for call in CALLS {
            let pair = format!("{} from {}", call.0, place.0);
            match until_reached(move || run(*place, *call)) {
                Outcome::Returned => (),
                Outcome::NotRun => missed.push(format!("{pair}: the place was not reached")),
                Outcome::Panicked => missed.push(format!("{pair}: panicked")),
            }
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_call_gives_the_same_answer_from_every_place_as_anywhere_else() {
    // The catalogue of calls that the tests of exits and forks make too, with what each must answer at which moment.
    thread_local! {
        static NEXT: Cell<&'static [calls::Call]> = const { Cell::new(&[]) };
    }
    calls::have_another_once();
    for place in PLACES {
        for call in calls::CALLS {
            let outcome = until_reached(move || {
                calls::remember_me();
                NEXT.set(std::slice::from_ref(call));
                run(*place, ("a call of the catalogue", || calls::make(NEXT.get(), moment())))
            });
            assert!(outcome == Outcome::Returned, "{} from {}", call.name(), place.0);
        }
    }
}

/// At which moment of its thread's life the code of the user's runs that is running.
fn moment() -> calls::Moment {
    match get_thread_ctx().handle().state() {
        State::Running if SITE.get() == Some(Site::StartHook) => calls::Moment::Starting,
        State::Running => calls::Moment::Live,
        _ => calls::Moment::Exiting,
    }
}

#[test]
fn every_call_works_from_every_hook_and_drop_at_the_end_of_the_thread() {
    // The same with an exit that nobody asked for: the thread just ends.
    let ends: &[(&str, Site, fn())] = &[
        ("a context's hook", Site::OwnHook, || get_thread_ctx().on_exit(|_| at(Site::OwnHook))),
        ("a key's hook", Site::KeyHook, || KEY.set(Probe)),
        ("Drop", Site::Drop, || SHOWN.set(Probe)),
        ("Drop of a name", Site::Drop, || {
            drop(get_thread_ctx().namespace(NS).insert("only a name", Probe));
        }),
    ];
    for (end, site, prepare) in ends {
        for (name, call) in CALLS {
            let (site, prepare, call) = (*site, *prepare, *call);
            let (tell, told) = mpsc::channel();
            within_a_minute(move || {
                after_the_exit(move || tell.send(OUTCOME.get()).unwrap());
                prepare();
                ARMED.set(Some((site, call)));
            });
            assert!(told.try_recv() == Ok(Outcome::Returned), "{name} from {end}");
        }
    }
}

#[test]
fn two_threads_that_call_into_each_others_values_do_not_lock_each_other_out() {
    // Each reads and dumps the other's context from inside its own `with`, scopes, updates and initialisers.
    within_a_minute(|| {
        static ONE: Key<u64> = Key::new(NS, "one").debug();
        static TWO: Key<u64> = Key::new(NS, "two").debug().init(|| ONE.iter().count() as u64);
        let work = || {
            for n in 0..300 {
                ONE.set(n);
                ONE.with(|_| {
                    ONE.scope(n + 1, || {
                        TWO.update(|two| *two += ONE.iter().map(|(_, one)| *one).sum::<u64>());
                        contexts().iter().for_each(|context| drop(TWO.get_in(context)));
                        ONE.take();
                    });
                    if n % 50 == 0 {
                        drop(DumpOptions::new().namespace(NS).take());
                        exit_thread_ctx();
                    }
                });
            }
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(work);
            }
        });
    });
}
