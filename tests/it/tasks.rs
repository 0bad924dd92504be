//! Tasks: a context of their own, current while the future is polled and while it is dropped, and never in between.

use std::{
    future::{Future, pending, poll_fn, ready},
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    task::Poll,
    thread,
    time::Duration,
};

use threadctx::{
    DumpOptions, FutureExt, Ident, Key, Snapshot, State, context, contexts, dump, exit_thread_ctx,
    get_thread_ctx, on_thread_exit, on_thread_start, stats,
};

use crate::support::{
    executor::{block_on, pause, poll_once},
    last::after_the_exit,
    said::all_said,
    tracked::{Drops, Tracked},
    worker::Worker,
};

const NS: &str = "tasks";
const NL: &str = "\n";

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

fn me() -> Ident {
    thread::current().id().into()
}

fn current() -> Ident {
    get_thread_ctx().ident()
}

/// Notes who is current when it is polled and when it drops; never done.
struct Witness(Arc<Mutex<Vec<(&'static str, Ident)>>>);

impl Witness {
    fn new() -> (Self, impl Fn() -> Vec<(&'static str, Ident)>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        (Self(Arc::clone(&seen)), move || seen.lock().unwrap().clone())
    }
}

impl Future for Witness {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
        self.0.lock().unwrap().push(("polled", current()));
        Poll::Pending
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.lock().unwrap().push(("dropped", current()));
    }
}

#[test]
fn a_tasks_context_is_current_while_it_is_polled_and_dropped_and_never_in_between() {
    let (witness, seen) = Witness::new();
    let mut task = Box::pin(witness.in_context());
    let ident = task.handle().ident();
    for _ in 0..2 {
        assert!(poll_once(task.as_mut()).is_pending());
        assert_eq!(current(), me());
    }
    drop(task);
    assert_eq!(current(), me());
    assert_eq!(seen(), [("polled", ident), ("polled", ident), ("dropped", ident)]);
}

#[test]
fn a_future_that_is_done_is_dropped_at_once_with_its_context_current() {
    let (witness, seen) = Witness::new();
    let mut task = Box::pin(poll_fn(move |_| (Poll::Ready(7), &witness).0).in_context());
    let context = task.handle();
    assert_eq!(poll_once(task.as_mut()), Poll::Ready(7));
    assert_eq!(seen(), [("dropped", context.ident())]);
    assert_eq!(context.state(), State::Exited);
    assert!(threadctx::context(context.ident()).is_none());
}

#[test]
fn values_stay_with_the_task_over_its_awaits_and_with_the_thread_in_between() {
    static KEY: Key<u8> = Key::new(NS, "awaits");
    KEY.set(1);
    let mut task = pin!(
        async {
            assert_eq!(KEY.cloned(), None);
            KEY.set(2);
            pause().await;
            assert_eq!(KEY.cloned(), Some(2));
            KEY.set(3);
            pause().await;
            KEY.cloned()
        }
        .in_context()
    );
    let handle = task.handle();
    assert!(poll_once(task.as_mut()).is_pending());
    assert_eq!((KEY.cloned(), KEY.get_in(&handle).as_deref()), (Some(1), Some(&2)));
    KEY.set(10);
    assert!(poll_once(task.as_mut()).is_pending());
    assert_eq!(poll_once(task.as_mut()), Poll::Ready(Some(3)));
    assert_eq!(KEY.cloned(), Some(10));
}

#[test]
fn a_task_keeps_its_values_on_whatever_thread_it_is_polled() {
    static KEY: Key<u32> = Key::new(NS, "moves");
    let mut task: Boxed<u32> = Box::pin(
        async {
            KEY.set(0);
            for _ in 0..10 {
                pause().await;
                KEY.update(|steps| *steps += 1);
            }
            KEY.cloned().unwrap()
        }
        .in_context(),
    );
    let workers = [Worker::start(), Worker::start(), Worker::start()];
    for worker in workers.iter().cycle() {
        let (back, polled) = worker.run(move || {
            KEY.set(99);
            let polled = poll_once(task.as_mut());
            assert_eq!((KEY.cloned(), current()), (Some(99), me()));
            (task, polled)
        });
        task = back;
        if polled == Poll::Ready(10) {
            return;
        }
    }
}

#[test]
fn what_inherits_is_taken_at_the_call_and_changes_reach_neither_parent_nor_sibling() {
    static KEY: Key<u8> = Key::new(NS, "siblings").inherit();
    static STAYS: Key<u8> = Key::new(NS, "stays");
    KEY.set(1);
    STAYS.set(1);
    let task = |value| {
        async move {
            assert_eq!((KEY.cloned(), STAYS.cloned()), (Some(1), None));
            KEY.set(value);
            pause().await;
            KEY.cloned()
        }
        .in_context()
    };
    let (mut one, mut two) = (pin!(task(10)), pin!(task(20)));
    KEY.set(2);
    assert!(poll_once(one.as_mut()).is_pending());
    assert!(poll_once(two.as_mut()).is_pending());
    assert_eq!(KEY.cloned(), Some(2));
    assert_eq!((block_on(one), block_on(two)), (Some(10), Some(20)));
    assert_eq!(KEY.cloned(), Some(2));
}

#[test]
fn a_given_snapshot_is_what_a_task_begins_with() {
    static KEY: Key<u8> = Key::new(NS, "given").inherit();
    let snapshot = KEY.scope(1, Snapshot::capture);
    KEY.set(2);
    assert_eq!(block_on(async { KEY.cloned() }.in_context_of(snapshot)), Some(1));
    assert_eq!(block_on(async { KEY.cloned() }.in_context_of(Snapshot::default())), None);
}

#[test]
fn the_parent_is_who_was_current_at_the_call() {
    let outer = async { (current(), async {}.in_context().handle().parent()) };
    let (outer, parent) = block_on(outer.in_context());
    assert_eq!(parent, Some(outer));
    let worker = Worker::start();
    let id = worker.id();
    assert_eq!(worker.run(|| async {}.in_context().handle().parent()), Some(id.into()));
    assert!(context(id).is_none(), "the parent is registered by nobody but itself");
}

#[test]
fn a_task_is_listed_from_the_call_until_it_is_done() {
    let mut task = pin!(pause().in_context());
    let ident = task.handle().ident();
    let is_listed = || contexts().iter().any(|context| context.ident() == ident);
    assert!(matches!(ident, Ident::Task(_)));
    assert!(is_listed());
    assert!(poll_once(task.as_mut()).is_pending());
    assert_eq!(context(ident).unwrap().state(), State::Running);
    assert!(is_listed());
    assert!(poll_once(task.as_mut()).is_ready());
    assert!(!is_listed());
}

#[test]
fn values_drop_once_newest_first_when_the_task_is_over() {
    static KEYS: [Key<Tracked>; 3] =
        [Key::new(NS, "newest first: a"), Key::new(NS, "newest first: b"), Key::new(NS, "newest first: c")];
    for is_done in [true, false] {
        let drops = Drops::default();
        let values = drops.clone();
        let mut task = Box::pin(
            async move {
                (0..).zip(&KEYS).for_each(|(number, key)| key.set(values.value(number)));
                if !is_done {
                    pending::<()>().await;
                }
            }
            .in_context(),
        );
        assert_eq!(poll_once(task.as_mut()).is_ready(), is_done);
        assert_eq!(drops.numbers().is_empty(), !is_done);
        drop(task);
        assert_eq!(drops.numbers(), [2, 1, 0]);
    }
}

#[test]
fn exit_hooks_run_once_last_first_with_the_values_of_the_task() {
    static KEY: Key<u8> = Key::new(NS, "exit hooks");
    let (send, said) = mpsc::channel();
    let task = async move {
        KEY.set(1);
        for number in [1, 2] {
            let send = send.clone();
            get_thread_ctx().on_exit(move |ctx| send.send((number, KEY.cloned(), ctx.ident())).unwrap());
        }
        current()
    };
    let ident = block_on(task.in_context());
    assert_eq!(all_said(&said), [(2, Some(1), ident), (1, Some(1), ident)]);
}

#[test]
fn a_keys_exit_hook_runs_for_tasks_also_for_what_they_inherited() {
    static SUM: AtomicU64 = AtomicU64::new(0);
    static OWN: Key<u64> =
        Key::new(NS, "key hook: own").on_exit(|value| _ = SUM.fetch_add(*value, Ordering::SeqCst));
    static CAME: Key<u64> =
        Key::new(NS, "key hook: came").inherit().on_exit(|value| _ = SUM.fetch_add(*value, Ordering::SeqCst));
    Worker::start().run(|| {
        CAME.set(10);
        block_on(async { OWN.set(1) }.in_context());
        assert_eq!(SUM.load(Ordering::SeqCst), 11);
    });
}

#[test]
fn hooks_for_threads_do_not_run_for_tasks() {
    let mine = me();
    let count = Arc::new(AtomicU64::new(0));
    let counting = || {
        let count = Arc::clone(&count);
        move |ctx: threadctx::ThreadCtx| {
            let is_ours = ctx.ident() == mine || matches!(ctx.ident(), Ident::Task(_));
            count.fetch_add(u64::from(is_ours), Ordering::SeqCst);
        }
    };
    get_thread_ctx();
    let _hooks = [on_thread_start(counting()), on_thread_exit(counting())];
    block_on(async { get_thread_ctx() }.in_context());
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_tasks_values_count_for_totals_once_live_and_over() {
    static KEY: Key<u64> = Key::new(NS, "total").keep_total(|one, other| one + other);
    KEY.set(1);
    let mut task = pin!(async { (KEY.set(10), pause().await).1 }.in_context());
    assert!(poll_once(task.as_mut()).is_pending());
    assert_eq!(KEY.total(), Some(11));
    assert!(poll_once(task.as_mut()).is_ready());
    assert_eq!(KEY.total(), Some(11));
}

#[test]
fn contexts_nest_and_the_innermost_is_current() {
    static KEY: Key<u8> = Key::new(NS, "nest").inherit();
    let outer = async {
        KEY.set(1);
        let mut inner = pin!(
            async {
                let found = KEY.cloned();
                KEY.set(2);
                pause().await;
                (found, KEY.cloned())
            }
            .in_context()
        );
        assert!(poll_once(inner.as_mut()).is_pending());
        assert_eq!(KEY.cloned(), Some(1));
        pause().await;
        (inner.await, KEY.cloned())
    };
    assert_eq!(block_on(outer.in_context()), ((Some(1), Some(2)), Some(1)));
}

#[test]
fn an_executor_inside_a_poll_works() {
    static KEY: Key<u8> = Key::new(NS, "block_on").inherit();
    let outer = async {
        KEY.set(1);
        let inner = block_on(async { (pause().await, KEY.replace(2).as_deref().copied()) }.in_context());
        (inner.1, KEY.cloned(), block_on(async { KEY.cloned() }))
    };
    assert_eq!(block_on(outer.in_context()), (Some(1), Some(1), Some(1)));
}

#[test]
fn the_carrier_and_what_it_carries_are_known_while_it_does() {
    let thread = get_thread_ctx().handle();
    let (mine, seen) = (me(), thread.clone());
    let task = async move {
        let outer = get_thread_ctx().handle();
        assert_eq!((outer.carrier(), outer.carries()), (Some(mine), None));
        assert_eq!((seen.carrier(), seen.carries()), (None, Some(outer.ident())));
        let inner = async {
            let inner = get_thread_ctx().handle();
            assert_eq!((inner.carrier(), outer.carries()), (Some(mine), Some(inner.ident())));
            assert_eq!((outer.carrier(), seen.carries()), (Some(mine), Some(outer.ident())));
        };
        inner.in_context().await;
        assert_eq!(outer.carries(), None);
        pause().await;
    };
    let mut task = pin!(task.in_context());
    let context = task.handle();
    while poll_once(task.as_mut()).is_pending() {
        assert_eq!((context.carrier(), thread.carries()), (None, None));
    }
    assert_eq!((context.carrier(), thread.carries()), (None, None));
}

#[test]
fn a_thread_without_a_context_carries_a_task_without_getting_one() {
    let worker = Worker::start();
    let id = worker.id();
    let carrier = worker.run(|| block_on(async { get_thread_ctx().handle().carrier() }.in_context()));
    assert_eq!(carrier, Some(id.into()));
    assert!(context(id).is_none());
}

#[test]
fn a_dump_shows_tasks_their_carrier_and_what_a_thread_carries() {
    static KEY: Key<&str> = Key::new(NS, "dumped").inherit().debug();
    KEY.set("for alice");
    let task = async { (current(), dump().to_string(), dump().to_json()) };
    let (ident, text, json) = block_on(task.in_context());
    let header = format!("\"\"  {ident}  on {}  from {}", me(), me());
    let at = text.find(&header).unwrap_or_else(|| panic!("{header} is not in\n{text}"));
    assert!(text[at..].lines().nth(1).unwrap().contains(r#"tasks.dumped = "for alice""#), "{text}");
    assert!(text.contains(&format!("\n    carries {ident}\n")), "{text}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of = |ident: Ident| {
        let contexts = json["contexts"].as_array().unwrap();
        contexts.iter().find(|context| context["ident"] == ident.to_string()).unwrap().clone()
    };
    assert_eq!((&of(ident)["kind"], &of(ident)["carrier"]), (&"task".into(), &me().to_string().into()));
    assert_eq!(of(me())["carries"], ident.to_string());
    assert_eq!(of(ident)["values"][0]["inherited"], true);
}

#[test]
fn a_named_task_goes_by_its_name_wherever_a_dump_names_it() {
    static KEY: Key<&str> = Key::new("tasks named", "key").debug();
    let shown = || {
        KEY.set("for alice");
        DumpOptions::new().namespace("tasks named").stale_after(Duration::ZERO).take()
    };
    KEY.set("the thread's own");
    let task = async { shown() }.in_context().named("check \"out\"").named("another name");
    let handle = task.handle();
    let ident = handle.ident();
    assert_eq!((handle.name(), handle.thread_name()), (Some("check \"out\""), None));
    let dump = block_on(task);
    let text = dump.to_string();
    assert!(text.contains(&format!(r#"{NL}"check \"out\""  {ident}  on {}"#, me())), "{text}");
    assert!(text.contains(&format!(r#"{NL}    carries {ident} "check \"out\""{NL}"#)), "{text}");
    assert!(text.contains(&format!(r#"{NL}  ! "check \"out\"" {ident}: no write for "#)), "{text}");
    let json: serde_json::Value = serde_json::from_str(&dump.to_json()).unwrap();
    let contexts = json["contexts"].as_array().unwrap();
    let own = contexts.iter().find(|context| context["ident"] == ident.to_string()).unwrap();
    assert_eq!((&own["name"], &own["kind"]), (&"check \"out\"".into(), &"task".into()));
    let named = |pattern| {
        let dump = async { DumpOptions::new().thread_name(pattern).take().contexts().len() };
        block_on(dump.in_context().named("checkout"))
    };
    assert_eq!((named("checko*"), named("nobody")), (1, 0));
    let waiting = async {}.in_context().named("in the queue");
    let text = waiting.handle().dump().to_string();
    assert!(
        text.contains(&format!("\"in the queue\"  {}  waiting  from {}", waiting.handle().ident(), me())),
        "{text}"
    );
    KEY.take();
}

#[test]
fn exit_thread_ctx_does_nothing_while_a_tasks_context_is_current() {
    static KEY: Key<u8> = Key::new(NS, "exit_thread_ctx");
    Worker::start().run(|| {
        KEY.set(1);
        block_on(
            async { (KEY.set(2), assert!(!exit_thread_ctx()), assert_eq!(KEY.cloned(), Some(2))).0 }
                .in_context(),
        );
        assert_eq!(KEY.cloned(), Some(1));
        assert!(exit_thread_ctx());
    });
}

#[test]
fn a_scope_of_the_threads_that_ends_in_a_task_touches_nothing_and_counts() {
    static KEY: Key<u8> = Key::new(NS, "misplaced scope");
    KEY.set(1);
    let scope = KEY.enter(2);
    let misplaced = stats().scopes_misplaced;
    // A block that is not `Send`, like the guard in it, polled in place.
    block_on(async move { (KEY.set(7), drop(scope), assert_eq!(KEY.cloned(), Some(7))).0 }.in_context());
    assert!(stats().scopes_misplaced > misplaced);
    assert_eq!(KEY.cloned(), Some(2), "nobody restored it, and nobody else wrote it");
}

#[test]
fn a_scope_inside_a_poll_is_the_tasks() {
    static KEY: Key<u8> = Key::new(NS, "scope in a poll");
    let task = async {
        KEY.set(1);
        assert_eq!(KEY.scope(2, || KEY.cloned()), Some(2));
        pause().await;
        KEY.cloned()
    };
    assert_eq!(block_on(task.in_context()), Some(1));
}

#[test]
fn a_panic_in_a_poll_leaves_the_threads_context_current_and_the_drop_exits_the_task() {
    static KEY: Key<Tracked> = Key::new(NS, "poll panics");
    let drops = Drops::default();
    let value = drops.value(0);
    let mut task = Box::pin(
        async move {
            KEY.set(value);
            pause().await;
            panic::panic_any("payload");
        }
        .in_context(),
    );
    let context = task.handle();
    assert!(poll_once(task.as_mut()).is_pending());
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| poll_once(task.as_mut())));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"payload"));
    assert_eq!((current(), get_thread_ctx().handle().carries()), (me(), None));
    assert_eq!((context.state(), context.carrier()), (State::Running, None));
    drop(task);
    assert_eq!(context.state(), State::Exited);
    drops.assert_each_once(1);
}

/// A future that is done at once, and panics in its drop.
struct Bomb;

impl Future for Bomb {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("expected");
    }
}

#[test]
fn a_panic_in_the_futures_drop_passes_through_and_the_task_exits() {
    static KEY: Key<Tracked> = Key::new(NS, "drop panics").inherit();
    for is_polled in [true, false] {
        let drops = Drops::default();
        let mut task = KEY.scope(drops.value(0), || Box::pin(Bomb.in_context()));
        let context = task.handle();
        assert!(drops.numbers().is_empty());
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            if is_polled {
                _ = poll_once(task.as_mut());
            }
            drop(task);
        }));
        assert!(panicked.is_err());
        assert_eq!((current(), context.state()), (me(), State::Exited));
        drops.assert_each_once(1);
    }
}

#[test]
fn panics_in_a_tasks_hooks_and_drops_are_contained_and_the_rest_goes_on() {
    static KEY: Key<Tracked> = Key::new(NS, "hooks panic").on_exit(|_| panic!("expected"));
    let (drops, before) = (Drops::default(), stats());
    let value = drops.value(0);
    let task = async move {
        KEY.set(value);
        get_thread_ctx().on_exit(|_| panic!("expected"));
    };
    block_on(task.in_context());
    assert!(stats().hook_panics >= before.hook_panics + 2);
    drops.assert_each_once(1);
}

#[test]
fn a_future_dropped_half_way_on_another_thread_exits_there_in_order() {
    static KEY: Key<Tracked> = Key::new(NS, "dropped elsewhere");
    let drops = Drops::default();
    let (send, said) = mpsc::channel();
    let (value, witness) = (drops.value(0), Witness::new());
    let mut task: Boxed<()> = Box::pin(
        async move {
            KEY.set(value);
            get_thread_ctx().on_exit(move |_| send.send((me(), KEY.with(|value| value.number))).unwrap());
            witness.0.await;
        }
        .in_context(),
    );
    assert!(poll_once(task.as_mut()).is_pending());
    let other = Worker::start();
    let id: Ident = other.id().into();
    other.run(move || drop(task));
    let seen = witness.1();
    assert_eq!((seen[0].0, seen[1].0, seen[0].1 == seen[1].1), ("polled", "dropped", true));
    assert_eq!(said.try_recv(), Ok((id, Some(0))));
    assert_eq!(drops.threads().into_iter().map(Ident::from).collect::<Vec<_>>(), [id]);
}

#[test]
fn a_future_dropped_on_a_thread_that_is_gone_exits_in_order_and_leaves_the_thread_gone() {
    static KEY: Key<Tracked> = Key::new(NS, "dropped late");
    let drops = Drops::default();
    let (value, (send, said)) = (drops.value(0), mpsc::channel());
    let begun = async move {
        KEY.set(value);
        get_thread_ctx().on_exit(move |_| send.send(KEY.with(|value| value.number)).unwrap());
        pending::<()>().await;
    };
    let mut task: Boxed<()> = Box::pin(begun.in_context());
    assert!(poll_once(task.as_mut()).is_pending());
    let thread = thread::spawn(move || {
        after_the_exit(move || {
            drop(task);
            assert!(threadctx::try_get_thread_ctx().is_err());
            assert!(block_on(async { (KEY.get().is_none(), current()) }.in_context()).0);
        });
    });
    thread.join().unwrap();
    assert_eq!(said.try_recv(), Ok(Some(0)));
    drops.assert_each_once(1);
}

#[test]
fn a_future_never_polled_exits_when_it_is_dropped() {
    static KEY: Key<Tracked> = Key::new(NS, "never polled").inherit();
    let drops = Drops::default();
    let task = KEY.scope(drops.value(0), || async { unreachable!() }.in_context());
    let context = task.handle();
    drop(task);
    assert_eq!(context.state(), State::Exited);
    drops.assert_each_once(1);
}

#[test]
fn what_a_leftover_of_a_task_does_in_its_drop_reaches_nobody() {
    static KEY: Key<Again> = Key::new(NS, "left over");
    static MARK: Key<u8> = Key::new(NS, "mark");
    /// Comes back for as long as there is a context.
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            MARK.set(1);
            if let Err(refused) = KEY.try_set(Again) {
                std::mem::forget(refused.into_value());
                assert_eq!(MARK.cloned(), None);
            }
        }
    }
    Worker::start().run(|| {
        get_thread_ctx();
        let left_over = stats().left_over;
        block_on(async { KEY.set(Again) }.in_context());
        assert!(stats().left_over > left_over);
        assert_eq!((MARK.cloned(), KEY.get().is_none()), (None, true));
    });
}

#[test]
fn polling_after_the_end_is_refused_by_a_panic_that_says_so() {
    let mut task = pin!(ready(1).in_context());
    assert_eq!(poll_once(task.as_mut()), Poll::Ready(1));
    let panicked = panic::catch_unwind(AssertUnwindSafe(|| poll_once(task.as_mut())));
    let message = panicked.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("polled after it was done"), "{message}");
    assert_eq!(current(), me());
}

#[test]
fn a_borrow_in_a_poll_outlives_what_the_poll_does_to_the_key() {
    static KEY: Key<String> = Key::new(NS, "borrow in a poll");
    let task = async {
        KEY.set("borrowed".to_owned());
        KEY.with(|value| {
            KEY.take();
            block_on(async { KEY.set("inner".to_owned()) }.in_context());
            assert_eq!(value, "borrowed");
        });
        KEY.cloned()
    };
    assert_eq!(block_on(task.in_context()), None);
}

/// Runs a task of its own as it drops.
struct RunsATask(mpsc::Sender<(bool, Option<u8>)>);

impl Drop for RunsATask {
    fn drop(&mut self) {
        let before = current();
        let seen =
            block_on(async { (current() != before, INNER.replace(2).as_deref().copied()) }.in_context());
        _ = self.0.send(seen);
    }
}

static INNER: Key<u8> = Key::new(NS, "inner").inherit();

#[test]
fn a_value_may_run_a_task_in_its_drop_at_a_tasks_exit_and_at_a_threads() {
    static KEY: Key<RunsATask> = Key::new(NS, "runs a task");
    let (send, seen) = mpsc::channel();
    let fill = move || (INNER.set(1), KEY.set(RunsATask(send.clone()))).0;
    thread::spawn(fill.clone()).join().unwrap();
    block_on(async move { fill() }.in_context());
    assert_eq!(all_said(&seen), [(true, Some(1)); 2]);
}

#[test]
fn many_tasks_on_many_threads_never_see_one_anothers_values() {
    static KEY: Key<u64> = Key::new(NS, "many");
    let tasks = (0..200).map(|number| -> Boxed<()> {
        Box::pin(
            async move {
                KEY.set(number);
                for _ in 0..20 {
                    pause().await;
                    assert_eq!(KEY.cloned(), Some(number));
                }
            }
            .in_context(),
        )
    });
    let queue = Mutex::new(tasks.collect::<std::collections::VecDeque<_>>());
    let next = || queue.lock().unwrap().pop_front();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(mut task) = next() {
                    if poll_once(task.as_mut()).is_pending() {
                        queue.lock().unwrap().push_back(task);
                    }
                    assert_eq!(KEY.cloned(), None);
                }
            });
        }
    });
}
