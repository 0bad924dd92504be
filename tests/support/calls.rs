//! The whole public API, one call at a time, with what each must answer at which moment of a thread's life.
//!
//! Each is sound as a thread's first call, and finds nothing amiss when it is made again.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use threadctx::{
    ContextRef, DumpOptions, FutureExt, Ident, Key, Snapshot, State, Stats, accessors, context, contexts,
    dump, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start, stats, sweep, try_get_thread_ctx,
};

/// Where in its life the thread is that makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In a start hook: everything works, but it is too early for an exit.
    Starting,
    /// Before its exit; it may not have a context yet.
    Live,
    /// In its exit, which is why that cannot be begun again.
    Exiting,
    /// At the very end of its exit: what was left over drops, the context is still listed, and nothing can be added.
    LeftOver,
    /// After its exit.
    Gone,
}

impl Moment {
    fn is_gone(self) -> bool {
        matches!(self, Self::LeftOver | Self::Gone)
    }

    fn is_listed(self) -> bool {
        self != Self::Gone
    }

    fn state(self) -> State {
        match self {
            Self::Starting | Self::Live => State::Running,
            Self::Exiting => State::Exiting,
            Self::LeftOver | Self::Gone => State::Exited,
        }
    }
}

thread_local! {
    /// Who this thread is, noted while that was certain. Without a destructor, to be there at every moment.
    static ME: Cell<Option<Ident>> = const { Cell::new(None) };
}

/// Notes who this thread is: every later answer is held against it.
pub(crate) fn remember_me() {
    ME.set(Some(std::thread::current().id().into()));
}

fn check_is_me(ident: Ident) {
    if let Some(me) = ME.get() {
        assert_eq!(ident, me);
    }
}

/// Another thread's context with a 7 under [`OTHERS`], for the calls that look at others.
pub(crate) static OTHER: OnceLock<ContextRef> = OnceLock::new();
pub(crate) static OTHERS: Key<u32> = Key::new("calls", "others").debug();

/// Has another thread, which lives as long as the process, stand by as [`OTHER`].
pub(crate) fn have_another() {
    let (send, ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        OTHERS.set(7);
        send.send(get_thread_ctx().handle()).expect("somebody waits");
        loop {
            std::thread::park();
        }
    });
    OTHER.set(ready.recv().expect("it comes up")).expect("one is enough");
}

/// The same, where several tests may ask for it.
#[allow(dead_code, reason = "not every test file has several")]
pub(crate) fn have_another_once() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(have_another);
}

/// A value that counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new() -> (Self, impl Fn() -> usize) {
        let drops = Arc::new(AtomicUsize::new(0));
        (Self(Arc::clone(&drops)), move || drops.load(Ordering::SeqCst))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs `code`, and checks that a figure went up exactly if the thread is gone.
fn counts_if_gone(at: Moment, which: fn(&Stats) -> u64, code: impl FnOnce()) {
    let before = which(&stats());
    code();
    let after = which(&stats());
    assert!(if at.is_gone() { after > before } else { after >= before }, "{before} {after}");
}

/// `value` if there is a context to have it.
fn if_there<T>(at: Moment, value: T) -> Option<T> {
    (!at.is_gone()).then_some(value)
}

pub(crate) struct Call {
    name: &'static str,
    make: fn(Moment),
}

impl Call {
    #[allow(dead_code, reason = "not every test file names them")]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn make(&self, at: Moment) {
        let done = std::panic::catch_unwind(|| (self.make)(at));
        done.unwrap_or_else(|why| {
            eprintln!("in {}, at {at:?}", self.name);
            std::panic::resume_unwind(why);
        });
    }
}

/// Makes the calls.
pub(crate) fn make(calls: &[Call], at: Moment) {
    calls.iter().for_each(|call| call.make(at));
}

macro_rules! calls {
    ($(fn $name:ident($at:ident: Moment) $body:block)*) => {
        pub(crate) const CALLS: &[Call] = &[$(Call { name: stringify!($name), make: each::$name }),*];

        mod each {
            use super::*;

            $(pub(super) fn $name($at: Moment) $body)*
        }
    };
}

calls! {
    fn get(at: Moment) {
        let ctx = get_thread_ctx();
        check_is_me(ctx.ident());
        assert_eq!(ctx.handle().state(), at.state());
    }

    fn try_get(at: Moment) {
        match try_get_thread_ctx() {
            Ok(ctx) => {
                assert!(!at.is_gone());
                check_is_me(ctx.ident());
            }
            Err(gone) => {
                assert!(at.is_gone());
                check_is_me(gone.ident());
                assert!(gone.to_string().contains("gone"));
            }
        }
    }

    fn sweeping(at: Moment) {
        let me = get_thread_ctx().ident();
        // Others, if there are ghosts; this thread is alive, however late it is.
        sweep();
        assert_eq!(contexts().iter().any(|context| context.ident() == me), at.is_listed());
    }

    fn exit(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "exit");
        if at == Moment::Live {
            KEY.set(1);
            assert!(exit_thread_ctx());
            assert_eq!(KEY.get(), None);
        }
        assert!(!exit_thread_ctx());
    }

    fn ctx_ident(_at: Moment) {
        check_is_me(get_thread_ctx().ident());
        assert!(!get_thread_ctx().ident().to_string().is_empty());
    }

    fn ctx_debug(_at: Moment) {
        assert!(format!("{:?}", get_thread_ctx()).starts_with("ThreadCtx("));
    }

    fn ctx_namespaces(at: Moment) {
        let ctx = get_thread_ctx();
        let _ = ctx.namespace("calls-spaces").insert("x", 1);
        assert_eq!(ctx.namespaces().contains(&"calls-spaces".to_owned()), !at.is_gone());
    }

    fn ctx_on_exit(at: Moment) {
        let (value, drops) = Counted::new();
        counts_if_gone(at, |stats| stats.hooks_refused, || get_thread_ctx().on_exit(move |_| drop(value)));
        assert_eq!(drops(), usize::from(at.is_gone()));
    }

    fn ctx_handle(at: Moment) {
        let handle = get_thread_ctx().handle();
        check_is_me(handle.ident());
        assert_eq!(handle.state(), at.state());
        assert_eq!((handle.carrier(), handle.carries()), (None, None));
        let _ = (handle.parent(), handle.thread_name(), handle.os_tid(), handle.dump().to_json(), format!("{handle:?}"));
        assert_eq!(handle.clone().ident(), handle.ident());
    }

    fn ctx_handle_reads(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "handle");
        KEY.set(3);
        let handle = get_thread_ctx().handle();
        assert_eq!(KEY.get_in(&handle).as_deref(), if_there(at, &3));
        let seen = handle.namespace("calls");
        assert_eq!(seen.get::<u8>("handle").expect("it is a u8").as_deref(), if_there(at, &3));
        assert_eq!(seen.contains("handle"), !at.is_gone());
        assert!(!format!("{seen:?}").is_empty());
        assert_eq!(handle.dump().to_string().contains("calls.handle"), !at.is_gone());
        KEY.take();
    }

    fn ctx_clear(at: Moment) {
        static KEY: Key<Counted> = Key::new("calls", "clear");
        let (value, drops) = Counted::new();
        KEY.set(value);
        if at != Moment::Exiting {
            get_thread_ctx().clear();
            assert_eq!((drops(), KEY.get().is_none()), (1, true));
        }
    }

    fn insert(at: Moment) {
        let names = get_thread_ctx().namespace("calls-names");
        match names.insert("insert", 5_u16) {
            Ok(_) => assert!(!at.is_gone()),
            Err(refused) => {
                assert!(at.is_gone() && refused.is_gone() && !refused.is_wrong_type());
                assert!(!format!("{refused} {refused:?}").is_empty());
                assert_eq!(refused.into_value(), 5);
            }
        }
        assert_eq!(names.get::<u16>("insert").expect("it is a u16").as_deref(), if_there(at, &5));
    }

    fn insert_of_another_type(at: Moment) {
        let names = get_thread_ctx().namespace("calls-names");
        let _ = names.insert("typed", 5_u16);
        let refused = names.insert("typed", "five").expect_err("of another type, or too late");
        assert_eq!(refused.is_gone(), at.is_gone());
        assert_eq!(refused.is_wrong_type(), !at.is_gone());
        assert_eq!(names.get::<String>("typed").is_err(), !at.is_gone());
        assert_eq!(names.get_or_insert_with("typed", String::new).is_err(), !at.is_gone());
    }

    fn insert_in_other_ways(at: Moment) {
        let names = get_thread_ctx().namespace("calls-names");
        assert_eq!(names.insert_json("json", vec![1]).is_ok(), !at.is_gone());
        assert_eq!(names.insert_opaque("opaque", 1_u8).is_ok(), !at.is_gone());
        assert_eq!(names.insert_secret("secret", 1_u8).is_ok(), !at.is_gone());
        assert_eq!(names.contains("secret"), !at.is_gone());
    }

    fn name_get_or_insert_with(at: Moment) {
        let names = get_thread_ctx().namespace("calls-names");
        assert_eq!(*names.get_or_insert_with("made", || 8_u8).expect("it is a u8"), 8);
        assert_eq!(names.contains("made"), !at.is_gone());
    }

    fn name_remove(at: Moment) {
        let names = get_thread_ctx().namespace("calls-names");
        let _ = names.insert("removed", 1_u8);
        assert_eq!(names.remove("removed"), !at.is_gone());
        assert!(!names.remove("removed"));
    }

    fn names_and_clear(at: Moment) {
        let names = get_thread_ctx().namespace("calls-cleared");
        let _ = names.insert("x", 1_u8);
        assert_eq!(names.names().len(), usize::from(!at.is_gone()));
        names.clear();
        assert!(names.names().is_empty() && !names.contains("x"));
        assert!(!format!("{names:?}").is_empty());
    }

    fn with(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "with");
        KEY.set(2);
        assert_eq!(KEY.with(|value| value + 1), if_there(at, 3));
    }

    fn with_nothing_there(_at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "never");
        assert_eq!(KEY.with(|value| *value), None);
        assert_eq!((KEY.get(), KEY.cloned(), KEY.take(), KEY.update(|_| ())), (None, None, None, None));
    }

    fn key_get_and_cloned(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "get");
        KEY.set(2);
        assert_eq!(KEY.get().as_deref(), if_there(at, &2));
        assert_eq!(KEY.cloned(), if_there(at, 2));
    }

    fn set(at: Moment) {
        static KEY: Key<Counted> = Key::new("calls", "set");
        KEY.take();
        let (value, drops) = Counted::new();
        counts_if_gone(at, |stats| stats.refused, || KEY.set(value));
        assert_eq!(drops(), usize::from(at.is_gone()));
    }

    fn set_again(at: Moment) {
        static KEY: Key<u64> = Key::new("calls", "again").debug();
        (0..4).for_each(|number| KEY.set(number));
        assert_eq!(KEY.cloned(), if_there(at, 3));
    }

    fn try_set(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "try_set");
        match KEY.try_set(9) {
            Ok(()) => assert_eq!((at.is_gone(), KEY.cloned()), (false, Some(9))),
            Err(refused) => {
                assert!(at.is_gone() && refused.is_gone());
                assert_eq!(refused.into_value(), 9);
            }
        }
    }

    fn replace(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "replace");
        KEY.take();
        assert_eq!(KEY.replace(1), None);
        assert_eq!(KEY.replace(2).as_deref(), if_there(at, &1));
    }

    fn replace_counts(at: Moment) {
        static KEY: Key<Counted> = Key::new("calls", "replace-drop");
        let (value, drops) = Counted::new();
        counts_if_gone(at, |stats| stats.refused, || drop(KEY.replace(value)));
        assert_eq!(drops(), usize::from(at.is_gone()));
    }

    fn take(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "take");
        KEY.set(4);
        assert_eq!(KEY.take().as_deref(), if_there(at, &4));
        assert_eq!(KEY.take(), None);
    }

    fn update(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "update");
        KEY.set(1);
        assert_eq!(KEY.update(|value| { *value += 1; *value }), if_there(at, 2));
    }

    fn key_with_an_initialiser(at: Moment) {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        static KEY: Key<u8> = Key::new("calls", "init").init(|| { MADE.fetch_add(1, Ordering::SeqCst); 6 });
        let before = MADE.load(Ordering::SeqCst);
        KEY.take();
        assert_eq!(KEY.with(|value| *value), if_there(at, 6));
        assert_eq!(KEY.get().as_deref(), if_there(at, &6));
        assert_eq!(KEY.update(|value| *value), if_there(at, 6));
        assert_eq!(MADE.load(Ordering::SeqCst) == before, at.is_gone());
    }

    fn get_or_init(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "get_or_init");
        KEY.take();
        assert_eq!(*KEY.get_or_init(|| 7), 7);
        assert_eq!(KEY.cloned(), if_there(at, 7));
    }

    fn get_or_init_stores_nothing_when_gone(at: Moment) {
        static KEY: Key<Counted> = Key::new("calls", "get_or_init-drop");
        let (value, drops) = Counted::new();
        KEY.take();
        drop(KEY.get_or_init(|| value));
        assert_eq!(drops(), usize::from(at.is_gone()));
    }

    fn get_or_try_init(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "get_or_try_init");
        KEY.take();
        assert_eq!(KEY.get_or_try_init(|| Err("no")), Err("no"));
        assert_eq!(KEY.get_or_try_init(|| Ok::<_, Infallible>(7)).as_deref(), Ok(&7));
        assert_eq!(KEY.cloned(), if_there(at, 7));
    }

    fn scope(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "scope");
        KEY.take();
        assert_eq!(KEY.scope(5, || (KEY.cloned(), "ran")), (if_there(at, 5), "ran"));
        assert_eq!(KEY.get(), None);
    }

    fn enter(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "enter");
        KEY.take();
        let outer = KEY.enter(1);
        let inner = KEY.enter(2);
        assert!(!format!("{inner:?}").is_empty());
        assert_eq!(KEY.cloned(), if_there(at, 2));
        drop(inner);
        assert_eq!(KEY.cloned(), if_there(at, 1));
        drop(outer);
        assert_eq!(KEY.get(), None);
    }

    fn others(_at: Moment) {
        let Some(other) = OTHER.get() else { return };
        assert_eq!(OTHERS.get_in(other).as_deref(), Some(&7));
        assert_eq!(OTHERS.iter().find(|(ident, _)| *ident == other.ident()).map(|(_, value)| *value), Some(7));
        assert_eq!(other.state(), State::Running);
        assert_eq!(other.namespace("calls").get::<u32>("others").expect("it is a u32").as_deref(), Some(&7));
        assert!(context(other.ident()).is_some());
        assert!(contexts().iter().any(|found| found.ident() == other.ident()));
        assert!(dump().to_string().contains("calls.others"));
    }

    fn iter(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "iter");
        KEY.set(1);
        if let Some(me) = ME.get() {
            assert_eq!(KEY.iter().any(|(ident, _)| ident == me), !at.is_gone());
        } else {
            KEY.iter().for_each(drop);
        }
    }

    fn total(at: Moment) {
        static KEY: Key<u64> = Key::new("calls", "total").keep_total(|one, other| one + other);
        KEY.set(1);
        let total = KEY.total().unwrap_or(0);
        assert!(at.is_gone() || total >= 1);
        KEY.take();
    }

    fn check(_at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "check").inherit();
        assert!(KEY.check().is_ok() && KEY.inherits());
        assert_eq!(format!("{KEY:?}"), "Key<u8>(calls.check)");
    }

    fn keys_that_clash(at: Moment) {
        static ONE: Key<u8> = Key::new("calls", "clash");
        static OTHER: Key<String> = Key::new("calls", "clash").init(String::new);
        assert!(ONE.check().is_ok());
        assert!(OTHER.check().is_err());
        if at.is_gone() {
            // The reads come first: a write would find out that the thread is gone, and say so to them.
            assert_eq!((OTHER.get(), OTHER.cloned(), OTHER.take(), OTHER.total()), (None, None, None, None));
            assert_eq!((OTHER.with(|_| ()), OTHER.update(|_| ()), OTHER.iter().count()), (None, None, 0));
            assert_eq!(OTHER.get_in(&get_thread_ctx().handle()), None);
            OTHER.set(String::new());
            assert!(OTHER.try_set(String::new()).is_err_and(|refused| refused.is_gone()));
            assert_eq!(OTHER.replace(String::new()), None);
            assert_eq!(OTHER.get_or_init(|| "made".to_owned()).as_str(), "made");
            assert_eq!(OTHER.scope(String::new(), || OTHER.with(|_| ())), None);
        }
    }

    fn lookup(at: Moment) {
        let me = get_thread_ctx().ident();
        let listed = if at == Moment::LeftOver { State::Exiting } else { at.state() };
        assert_eq!(context(me).map(|context| context.state()), at.is_listed().then_some(listed));
        assert_eq!(contexts().iter().any(|context| context.ident() == me), at.is_listed());
    }

    fn hooks(_at: Moment) {
        let hook = on_thread_start(|_| ());
        assert!(!format!("{hook:?}").is_empty());
        drop(hook);
        drop(on_thread_exit(|_| ()));
        static FOREVER: OnceLock<()> = OnceLock::new();
        FOREVER.get_or_init(|| {
            on_thread_start(|_| ()).forever();
            on_thread_exit(|_| ()).forever();
        });
    }

    fn figures(_at: Moment) {
        let stats = stats();
        assert!(stats.registered >= stats.exited);
        assert!(!format!("{stats:?}").is_empty());
    }

    fn dumps(at: Moment) {
        static KEY: Key<u8> = Key::new("calls-dumps", "shown").json();
        KEY.set(41);
        let dump = dump();
        let json: serde_json::Value = serde_json::from_str(&dump.to_json()).expect("it is JSON");
        let contexts = json["contexts"].as_array().expect("there is a list");
        let me = get_thread_ctx().ident().to_string();
        assert_eq!(contexts.iter().any(|context| context["ident"] == *me), at.is_listed());
        assert!(!format!("{dump:?}").is_empty());
        KEY.take();
    }

    fn dumps_with_options(at: Moment) {
        static KEY: Key<u8> = Key::new("calls-options", "shown").display();
        KEY.set(41);
        let options = DumpOptions::new().max_contexts(10_000).max_value_bytes(64).max_bytes(1 << 20);
        let dump = options.budget(Duration::from_secs(5)).namespace("calls-opt*").clone().take();
        let _ = (dump.is_complete(), format!("{:?}", DumpOptions::default()));
        assert!(at.is_gone() || dump.to_string().contains("calls-options.shown"), "{dump}");
        KEY.take();
    }

    fn snapshots(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "snapshot").inherit();
        KEY.set(1);
        let snapshot = Snapshot::capture();
        assert_eq!(snapshot.is_empty(), at.is_gone());
        KEY.take();
        assert_eq!(snapshot.run(|| KEY.cloned()), if_there(at, 1));
        let scope = snapshot.enter();
        assert_eq!(KEY.cloned(), if_there(at, 1));
        assert!(!format!("{scope:?} {snapshot:?}").is_empty());
        drop(scope);
        assert_eq!(KEY.get(), None);
        assert_eq!(snapshot.clone().wrap(|| KEY.cloned())(), if_there(at, 1));
        assert_eq!(Snapshot::default().run(|| KEY.get()), None);
    }

    fn spawns(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "spawn").inherit();
        if matches!(at, Moment::Starting | Moment::Exiting) {
            // The thread's own hooks would spawn one, and so on for ever.
            return;
        }
        KEY.set(1);
        let parent = get_thread_ctx().ident();
        let body = move || (KEY.cloned(), get_thread_ctx().handle().parent());
        let spawned = threadctx::spawn(body).join().expect("it does not panic");
        assert_eq!(spawned, (if_there(at, 1), Some(parent)));
        let named = threadctx::spawn_with(std::thread::Builder::new().name("ours".to_owned()), body);
        assert_eq!(named.expect("there is room").join().expect("it does not panic"), spawned);
        KEY.take();
    }

    fn tasks(at: Moment) {
        static KEY: Key<u8> = Key::new("calls", "task").inherit();
        KEY.set(1);
        let parent = get_thread_ctx().ident();
        let mut task = std::pin::pin!(async { (KEY.replace(2).as_deref().copied(), KEY.cloned()) }.in_context());
        KEY.take();
        let handle = task.handle();
        assert_eq!((handle.state(), handle.parent()), (State::Running, Some(parent)));
        assert!(context(handle.ident()).is_some());
        assert!(!format!("{task:?}").is_empty());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        // A task has a context wherever it is polled.
        assert_eq!(task.as_mut().poll(&mut cx), std::task::Poll::Ready((if_there(at, 1), Some(2))));
        assert_eq!((KEY.get(), handle.state(), handle.carrier()), (None, State::Exited, None));
        assert_eq!(get_thread_ctx().ident(), parent);
        drop(std::future::pending::<()>().in_context_of(Snapshot::default()));
    }

    fn accessors(at: Moment) {
        assert_eq!(forget_level(), None);
        assert_eq!(with_level(4, || level_with(|level| *level)), if_there(at, 4));
        set_level(3);
        assert_eq!(level().as_deref(), if_there(at, &3));
        assert_eq!(forget_level().as_deref(), if_there(at, &3));
    }
}

static LEVEL: Key<u8> = Key::new("calls", "level");

accessors! {
    /// How loud.
    LEVEL: u8 { get: level, set: set_level, with: level_with, take: forget_level, scope: with_level }
}
