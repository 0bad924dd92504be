//! Feature `tokio`: what is spawned through it carries, and workers are registered from start to stop.

#![cfg(not(loom))]

use std::{
    cell::RefCell,
    panic,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use threadctx::{
    ContextRef, FutureExt, Ident, Key, Snapshot, State, contexts, exit_thread_ctx, get_thread_ctx,
    tokio as twin, tokio::BuilderExt,
};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Barrier, oneshot},
    task::{JoinHandle, JoinSet, LocalSet, yield_now},
};

const NS: &str = "tokio";

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn is_task() -> bool {
    matches!(get_thread_ctx().ident(), Ident::Task(_))
}

#[test]
fn a_spawned_task_carries_and_a_plain_one_does_not() {
    static KEY: Key<u8> = Key::new(NS, "spawn").inherit();
    runtime().block_on(async {
        KEY.set(1);
        let seen = async { (KEY.cloned(), yield_now().await, KEY.cloned(), is_task()) };
        assert_eq!(twin::spawn(seen).await.unwrap(), (Some(1), (), Some(1), true));
        assert_eq!(tokio::spawn(async { (KEY.cloned(), is_task()) }).await.unwrap(), (None, false));
        KEY.take();
    });
}

#[test]
fn a_local_task_carries() {
    static KEY: Key<u8> = Key::new(NS, "local").inherit();
    let local = LocalSet::new();
    runtime().block_on(local.run_until(async {
        KEY.set(1);
        let here = std::rc::Rc::new(());
        let task = twin::spawn_local(async move { (yield_now().await, drop(here), KEY.cloned()).2 });
        KEY.take();
        assert_eq!(task.await.unwrap(), Some(1));
    }));
}

#[test]
fn a_blocking_job_carries_and_leaves_the_thread_as_it_was() {
    static KEY: Key<u8> = Key::new(NS, "blocking").inherit();
    let one_thread = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    one_thread.block_on(async {
        tokio::task::spawn_blocking(|| KEY.set(9)).await.unwrap();
        KEY.set(1);
        let seen = twin::spawn_blocking(|| KEY.replace(5).as_deref().copied()).await.unwrap();
        assert_eq!(seen, Some(1));
        let empty = KEY.scope(0, || (KEY.take(), twin::spawn_blocking(|| KEY.cloned())).1);
        assert_eq!(empty.await.unwrap(), None);
        assert_eq!(tokio::task::spawn_blocking(|| KEY.cloned()).await.unwrap(), Some(9));
        KEY.take();
    });
}

#[test]
fn a_panic_in_any_of_them_is_the_join_handles_and_leaves_nothing() {
    static KEY: Key<Arc<()>> = Key::new(NS, "panics").inherit();
    let value = Arc::new(());
    let one_thread = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    one_thread.block_on(async {
        KEY.set(Arc::clone(&value));
        let task = twin::spawn(async {
            yield_now().await;
            panic!("expected")
        });
        let job = twin::spawn_blocking(|| panic!("expected"));
        KEY.take();
        assert!(task.await.unwrap_err().is_panic());
        assert!(job.await.unwrap_err().is_panic());
        assert!(tokio::task::spawn_blocking(|| KEY.get().is_none()).await.unwrap());
    });
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn the_parts_serve_where_there_is_no_twin() {
    static KEY: Key<usize> = Key::new(NS, "parts").inherit();
    let runtime = runtime();
    runtime.block_on(async {
        let mut set = JoinSet::new();
        for number in 0..20 {
            KEY.scope(number, || {
                set.spawn(async move { (yield_now().await, number, KEY.cloned()) }.in_context())
            });
        }
        while let Some(seen) = set.join_next().await {
            let ((), number, seen) = seen.unwrap();
            assert_eq!(seen, Some(number));
        }
        let job = KEY.scope(7, Snapshot::capture).wrap(|| KEY.cloned());
        assert_eq!(runtime.handle().spawn_blocking(job).await.unwrap(), Some(7));
    });
}

#[test]
fn workers_are_listed_by_name_from_their_start_and_gone_when_the_runtime_is() {
    let hooked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&hooked);
    let _hook = threadctx::on_thread_exit(move |ctx| {
        let is_worker = ctx.handle().thread_name() == Some("listed");
        counted.fetch_add(usize::from(is_worker), Ordering::SeqCst);
    });
    let mut builder = Builder::new_multi_thread();
    let runtime = builder.worker_threads(3).thread_name("listed").register_workers().build().unwrap();
    let blocking = runtime.block_on(runtime.spawn_blocking(|| std::thread::current().id())).unwrap();
    let listed = || contexts().into_iter().filter(|context| context.thread_name() == Some("listed"));
    assert_eq!(threadctx::context(blocking).unwrap().thread_name(), Some("listed"));
    // All three are up once each is in a task that waits for the others.
    runtime.block_on(async {
        let all = Arc::new(std::sync::Barrier::new(3));
        let tasks = [(); 3].map(|()| {
            let all = Arc::clone(&all);
            tokio::spawn(async move { _ = all.wait() })
        });
        for task in tasks {
            task.await.unwrap();
        }
    });
    let workers: Vec<_> = listed().collect();
    assert_eq!(workers.len(), 4);
    drop(runtime);
    assert!(workers.iter().all(|worker| worker.state() == State::Exited));
    assert_eq!((listed().count(), hooked.load(Ordering::SeqCst)), (0, 4));
}

#[test]
fn the_last_hook_set_wins_as_tokio_has_it_and_ours_are_a_list() {
    let ours = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ours);
    let _hook = threadctx::on_thread_start(move |ctx| {
        counted.fetch_add(usize::from(ctx.handle().thread_name() == Some("last wins")), Ordering::SeqCst);
    });
    let theirs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&theirs);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("last wins").on_thread_start(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let runtime = builder.register_workers().build().unwrap();
    runtime.block_on(runtime.spawn(async {})).unwrap();
    assert_eq!((theirs.load(Ordering::SeqCst), ours.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn select_cancels_half_way_and_the_task_exits_there() {
    static KEY: Key<Arc<()>> = Key::new(NS, "select");
    runtime().block_on(async {
        let value = Arc::new(());
        let inner = Arc::clone(&value);
        let never = async move { (KEY.set(inner), std::future::pending::<()>().await).1 }.in_context();
        let context = never.handle();
        tokio::select! {
            biased;
            () = never => unreachable!(),
            () = yield_now() => (),
        }
        assert_eq!((Arc::strong_count(&value), context.state()), (1, State::Exited));
    });
}

#[test]
fn a_runtime_dropped_with_tasks_in_it_exits_them() {
    static KEY: Key<Arc<()>> = Key::new(NS, "shutdown");
    let value = Arc::new(());
    let runtime = runtime();
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let value = Arc::clone(&value);
            let task = async move { (KEY.set(value), std::future::pending::<()>().await).1 }.in_context();
            let context = task.handle();
            runtime.spawn(task);
            context
        })
        .collect();
    runtime.block_on(yield_now());
    drop(runtime);
    assert!(handles.iter().all(|context| context.state() == State::Exited));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn block_on_and_block_in_place_inside_a_task_keep_its_context() {
    static KEY: Key<u8> = Key::new(NS, "block").inherit();
    let runtime = runtime();
    let handle = runtime.handle().clone();
    let task = async move {
        KEY.set(1);
        let inside = tokio::task::block_in_place(|| {
            assert!(!exit_thread_ctx());
            (KEY.cloned(), handle.block_on(async { KEY.replace(2).as_deref().copied() }.in_context()))
        });
        (inside, KEY.cloned())
    };
    let seen = runtime.block_on(async { twin::spawn(task).await.unwrap() });
    assert_eq!(seen, ((Some(1), Some(1)), Some(1)));
}

#[test]
fn tasks_that_meet_on_few_threads_see_their_own() {
    static KEY: Key<usize> = Key::new(NS, "meet");
    runtime().block_on(async {
        let all = Arc::new(Barrier::new(50));
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let all = Arc::clone(&all);
                twin::spawn(async move {
                    for _ in 0..10 {
                        KEY.set(number);
                        all.wait().await;
                        assert_eq!(KEY.cloned(), Some(number));
                        tokio::time::sleep(Duration::from_micros(1)).await;
                        assert_eq!(KEY.cloned(), Some(number));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn a_task_that_waits_is_listed_and_says_who_carries_it_when_it_runs() {
    runtime().block_on(async {
        let (go, wait) = oneshot::channel::<()>();
        let task = async move {
            wait.await.unwrap();
            let me = get_thread_ctx().handle();
            assert_eq!(me.carrier(), Some(std::thread::current().id().into()));
            me
        };
        let task = task.in_context();
        let waiting = task.handle();
        let task = tokio::spawn(task);
        assert_eq!(threadctx::context(waiting.ident()).unwrap().state(), State::Running);
        go.send(()).unwrap();
        assert_eq!(task.await.unwrap().ident(), waiting.ident());
        assert_eq!((waiting.state(), waiting.carrier()), (State::Exited, None));
    });
}

#[test]
fn local_tasks_without_contexts_of_their_own_keep_their_scopes_apart() {
    static USER: Key<&str> = Key::new(NS, "local scopes");
    let handler = |name, turns| {
        USER.scope_future(name, async move {
            for _ in 0..turns {
                yield_now().await;
                assert_eq!(USER.cloned(), Some(name));
            }
            USER.cloned()
        })
    };
    let local = LocalSet::new();
    Builder::new_current_thread().build().unwrap().block_on(local.run_until(async {
        for turns in [[1, 3], [3, 1]] {
            let one = tokio::task::spawn_local(handler("alice", turns[0]));
            let two = tokio::task::spawn_local(handler("bob", turns[1]));
            assert_eq!((one.await.unwrap(), two.await.unwrap()), (Some("alice"), Some("bob")));
            assert_eq!(USER.get(), None);
        }
    }));
}

thread_local! {
    static WITNESS: Witness = const { Witness(RefCell::new(None)) };
}

/// Tells, as its thread's locals are dropped, in which state a context is by then.
struct Witness(RefCell<Option<(ContextRef, mpsc::Sender<State>)>>);

impl Witness {
    fn of_this_thread(to: &mpsc::Sender<State>) {
        WITNESS.with(|witness| witness.0.replace(Some((get_thread_ctx().handle(), to.clone()))));
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let (context, to) = self.0.take().unwrap();
        to.send(context.state()).unwrap();
    }
}

#[test]
fn a_worker_exits_as_it_stops_before_its_thread_locals_are_dropped() {
    let (send, seen) = mpsc::channel();
    let runtime = Builder::new_multi_thread().worker_threads(1).register_workers().build().unwrap();
    let (one, two) = (send.clone(), send);
    runtime.block_on(runtime.spawn(async move { Witness::of_this_thread(&one) })).unwrap();
    runtime.block_on(runtime.spawn_blocking(move || Witness::of_this_thread(&two))).unwrap();
    drop(runtime);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [State::Exited; 2]);
}

#[test]
fn a_blocking_thread_that_stops_early_exits_though_the_runtime_goes_on() {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.thread_keep_alive(Duration::from_millis(1)).register_workers().build().unwrap();
    let (send, seen) = mpsc::channel();
    for _ in 0..2 {
        let send = send.clone();
        let job = runtime.spawn_blocking(move || {
            Witness::of_this_thread(&send);
            get_thread_ctx().handle()
        });
        let context = runtime.block_on(job).unwrap();
        assert_eq!(seen.recv_timeout(Duration::from_secs(60)), Ok(State::Exited));
        assert!(threadctx::context(context.ident()).is_none());
    }
    drop(runtime);
}

#[test]
fn a_second_blocking_job_on_another_thread_and_one_that_panics_leave_their_threads_as_they_were() {
    static KEY: Key<u8> = Key::new(NS, "two threads").inherit();
    let two_threads = Builder::new_current_thread().max_blocking_threads(2).build().unwrap();
    // Runs a job on both threads at once, by the given spawn.
    let on_both = async |spawn: &dyn Fn(Job) -> JoinHandle<Option<u8>>, job: fn() -> Option<u8>| {
        let met = Arc::new(std::sync::Barrier::new(2));
        let jobs = [Arc::clone(&met), met].map(|met| spawn(Box::new(move || (met.wait(), job()).1)));
        let [one, two] = jobs;
        [one.await, two.await]
    };
    two_threads.block_on(async {
        let plain = |job: Job| tokio::task::spawn_blocking(job);
        let carries = |job: Job| twin::spawn_blocking(job);
        let fails = || {
            KEY.set(6);
            panic::resume_unwind(Box::new("expected"))
        };
        let seen = on_both(&plain, || KEY.replace(9).as_deref().copied()).await;
        assert_eq!(seen.map(Result::unwrap), [None; 2]);
        KEY.set(1);
        let seen = on_both(&carries, || KEY.replace(5).as_deref().copied()).await;
        assert_eq!(seen.map(Result::unwrap), [Some(1); 2]);
        let seen = on_both(&carries, fails).await;
        assert!(seen.iter().all(Result::is_err));
        assert_eq!(on_both(&plain, || KEY.cloned()).await.map(Result::unwrap), [Some(9); 2]);
        KEY.take();
    });
}

type Job = Box<dyn FnOnce() -> Option<u8> + Send>;

#[test]
fn a_local_task_that_panics_leaves_nothing_and_a_second_one_has_its_own() {
    static KEY: Key<u8> = Key::new(NS, "local panics").inherit();
    let local = LocalSet::new();
    Builder::new_current_thread().build().unwrap().block_on(local.run_until(async {
        KEY.set(1);
        let fails = twin::spawn_local(async {
            KEY.set(2);
            yield_now().await;
            panic!("expected")
        });
        KEY.set(3);
        let second = twin::spawn_local(async { (KEY.cloned(), yield_now().await, KEY.cloned()) });
        KEY.take();
        assert!(fails.await.unwrap_err().is_panic());
        assert_eq!(second.await.unwrap(), (Some(3), (), Some(3)));
        assert_eq!(KEY.get(), None);
    }));
}
