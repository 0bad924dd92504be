//! Feature `rayon`: jobs carry the caller's values to whichever worker runs them, and leave no trace on it.

#![cfg(not(loom))]

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};
use threadctx::{
    ContextRef, Key, Snapshot, State, contexts, get_thread_ctx, rayon as twin, rayon::PoolBuilderExt, stats,
};

const NS: &str = "rayon";

fn pool(threads: usize) -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

/// Gives every worker a value of its own, and later checks that each has it back, and nothing else.
struct Own {
    pool: ThreadPool,
    key: &'static Key<u64>,
    other: &'static Key<u64>,
}

impl Own {
    fn new(threads: usize, key: &'static Key<u64>, other: &'static Key<u64>) -> Self {
        Self::of(pool(threads), key, other)
    }

    fn of(pool: ThreadPool, key: &'static Key<u64>, other: &'static Key<u64>) -> Self {
        pool.broadcast(|worker| key.set(1_000 + worker.index() as u64));
        Self { pool, key, other }
    }

    fn is_untouched(&self) {
        let seen =
            self.pool.broadcast(|worker| (self.key.cloned(), self.other.cloned(), worker.index() as u64));
        for (own, other, worker) in seen {
            assert_eq!((own, other), (Some(1_000 + worker), None));
        }
    }
}

#[test]
fn every_twin_carries_and_leaves_no_trace() {
    static KEY: Key<u64> = Key::new(NS, "twins").inherit();
    static OTHER: Key<u64> = Key::new(NS, "twins: other").inherit();
    let own = Own::new(4, &KEY, &OTHER);
    KEY.set(1);
    OTHER.set(2);
    let seen = || (KEY.cloned(), OTHER.cloned());
    let both = (Some(1), Some(2));
    assert_eq!(twin::install(&own.pool, seen), both);
    assert_eq!(twin::install(&own.pool, || twin::join(seen, seen)), (both, both));
    let (send, received) = mpsc::channel();
    twin::spawn_in(&own.pool, move || send.send(seen()).unwrap());
    assert_eq!(received.recv().unwrap(), both);
    let (send, received) = mpsc::channel();
    twin::spawn(move || send.send(seen()).unwrap());
    assert_eq!(received.recv().unwrap(), both);
    let all = Mutex::new(Vec::new());
    twin::install(&own.pool, || {
        twin::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|scope| {
                    all.lock().unwrap().push(seen());
                    scope.spawn(|_| all.lock().unwrap().push(seen()));
                });
            }
        });
    });
    assert_eq!(all.into_inner().unwrap(), [both; 40]);
    own.is_untouched();
}

#[test]
fn a_scopes_jobs_have_what_was_current_where_they_were_spawned() {
    static KEY: Key<u64> = Key::new(NS, "scope").inherit();
    static OTHER: Key<u64> = Key::new(NS, "scope: other").inherit();
    let own = Own::new(3, &KEY, &OTHER);
    let checked = AtomicUsize::new(0);
    let is_for = &|number| {
        assert_eq!((KEY.cloned(), OTHER.cloned()), (Some(number), None));
        checked.fetch_add(1, Ordering::SeqCst);
    };
    twin::install(&own.pool, || {
        twin::scope(|scope| {
            for number in 0..50 {
                let spawn = || {
                    scope.spawn(move |scope| {
                        is_for(number);
                        KEY.set(number + 100);
                        scope.spawn(move |_| is_for(number + 100));
                    });
                };
                KEY.scope(number, spawn);
            }
        });
    });
    assert_eq!(checked.load(Ordering::SeqCst), 100);
    own.is_untouched();
}

#[test]
fn rayons_own_calls_carry_nothing() {
    static KEY: Key<u64> = Key::new(NS, "plain").inherit();
    KEY.set(1);
    assert_eq!(pool(1).install(|| KEY.cloned()), None);
}

#[test]
fn what_a_job_sets_under_an_inheriting_key_is_gone_after_it() {
    static KEY: Key<u64> = Key::new(NS, "sets").inherit();
    static OTHER: Key<u64> = Key::new(NS, "sets: other").inherit();
    let own = Own::new(2, &KEY, &OTHER);
    twin::install(&own.pool, || {
        KEY.set(5);
        OTHER.set(6);
        twin::join(|| OTHER.set(7), || OTHER.set(8));
        assert_eq!(OTHER.cloned(), Some(6));
    });
    own.is_untouched();
}

#[test]
fn a_panic_in_every_hop_comes_through_and_leaves_no_trace() {
    static KEY: Key<u64> = Key::new(NS, "panics").inherit();
    static OTHER: Key<u64> = Key::new(NS, "panics: other").inherit();
    let own = Own::new(2, &KEY, &OTHER);
    KEY.set(1);
    let fail = || {
        assert_eq!(KEY.cloned(), Some(1));
        KEY.set(2);
        OTHER.set(3);
        panic::resume_unwind(Box::new("payload"))
    };
    let hops: &[&(dyn Fn() + Sync)] = &[
        &fail,
        &|| _ = twin::join(fail, || ()),
        &|| _ = twin::join(|| (), fail),
        &|| twin::scope(|scope| scope.spawn(move |_| fail())),
        &|| twin::scope(|_| fail()),
    ];
    for hop in hops {
        let result = panic::catch_unwind(AssertUnwindSafe(|| twin::install(&own.pool, hop)));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"payload"));
        own.is_untouched();
        assert_eq!((KEY.cloned(), OTHER.cloned()), (Some(1), None));
    }
}

#[test]
fn a_panic_on_a_second_worker_leaves_no_trace_there() {
    static KEY: Key<u64> = Key::new(NS, "second worker").inherit();
    static OTHER: Key<u64> = Key::new(NS, "second worker: other").inherit();
    let own = Own::new(2, &KEY, &OTHER);
    KEY.set(1);
    // The first worker waits here for the second one, which so has no scope of this pool's around its job.
    let met = &Barrier::new(2);
    let fail = &|| {
        met.wait();
        assert_eq!(KEY.cloned(), Some(1));
        KEY.set(2);
        OTHER.set(3);
        panic::resume_unwind(Box::new("payload"))
    };
    let hops: &[&(dyn Fn() + Sync)] = &[
        &|| _ = twin::join(|| _ = met.wait(), fail),
        &|| {
            twin::scope(|scope| {
                scope.spawn(|_| fail());
                met.wait();
            });
        },
        &|| {
            twin::scope(|scope| {
                scope.spawn(|_| _ = met.wait());
                met.wait();
                scope.spawn(|_| fail());
                met.wait();
            });
        },
        &|| {
            twin::scope(|scope| {
                scope.spawn(|scope| {
                    scope.spawn(|_| fail());
                    met.wait();
                });
            });
        },
    ];
    for (number, hop) in hops.iter().enumerate() {
        let result = panic::catch_unwind(AssertUnwindSafe(|| twin::install(&own.pool, hop)));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"payload"), "hop {number}");
        own.is_untouched();
        let seen = own.pool.broadcast(|_| Snapshot::default().run(|| (KEY.cloned(), OTHER.cloned())));
        assert_eq!(seen, [(None, None); 2], "hop {number}");
    }
}

#[test]
fn a_spawned_job_that_panics_leaves_no_trace_on_any_worker() {
    static KEY: Key<u64> = Key::new(NS, "spawn panics").inherit();
    static OTHER: Key<u64> = Key::new(NS, "spawn panics: other").inherit();
    let pool = ThreadPoolBuilder::new().num_threads(2).panic_handler(|_| ()).build().unwrap();
    let own = Own::of(pool, &KEY, &OTHER);
    KEY.set(1);
    let fail = |started: &Barrier| {
        assert_eq!(KEY.replace(2).as_deref(), Some(&1));
        OTHER.set(3);
        started.wait();
        panic::resume_unwind(Box::new("payload"))
    };
    for _ in 0..2 {
        // Two at once, so one on each worker.
        let started = Arc::new(Barrier::new(3));
        let [one, two] = [Arc::clone(&started), Arc::clone(&started)];
        twin::spawn_in(&own.pool, move || fail(&one));
        twin::install(&own.pool, || twin::spawn(move || fail(&two)));
        started.wait();
        own.is_untouched();
    }
}

#[test]
fn jobs_of_many_callers_at_once_do_not_mix() {
    static KEY: Key<u64> = Key::new(NS, "callers").inherit();
    static OTHER: Key<u64> = Key::new(NS, "callers: other").inherit();
    let own = Own::new(3, &KEY, &OTHER);
    let jobs = AtomicUsize::new(0);
    fn split(caller: u64, depth: u32, jobs: &AtomicUsize) {
        assert_eq!(KEY.cloned(), Some(caller));
        jobs.fetch_add(1, Ordering::SeqCst);
        if depth > 0 {
            twin::join(|| split(caller, depth - 1, jobs), || split(caller, depth - 1, jobs));
        }
        assert_eq!(KEY.cloned(), Some(caller));
    }
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (own, jobs) = (&own, &jobs);
            scope.spawn(move || {
                KEY.set(caller);
                for _ in 0..5 {
                    twin::install(&own.pool, || split(caller, 6, jobs));
                }
            });
        }
    });
    assert_eq!(jobs.into_inner(), 8 * 5 * 127);
    own.is_untouched();
}

/// Runs `waits` on the one worker of a pool, with a call that waits while the worker runs another job, `meanwhile`.
fn with_a_job_on_top(waits: impl FnOnce(&dyn Fn()) + Send, meanwhile: fn()) {
    pool(1).scope(|scope| {
        scope.spawn(move |_| {
            waits(&|| {
                rayon::spawn(meanwhile);
                assert_eq!(rayon::yield_now(), Some(rayon::Yield::Executed), "the other job runs here");
            });
        });
    });
}

#[test]
fn what_a_job_on_top_counts_inside_an_update_of_the_same_key_is_lost_and_counted() {
    static COUNT: Key<u64> = Key::new(NS, "on top").init(|| 0).keep_total(|one, other| one + other);
    let lost = stats().updates_lost;
    let waits = |wait: &dyn Fn()| {
        COUNT.update(|count| (wait(), *count += 1));
        assert_eq!(COUNT.cloned(), Some(1));
        assert_eq!(COUNT.update(|count| *count += 1), Some(()));
        wait();
        assert_eq!(COUNT.cloned(), Some(3), "outside of an update nothing is lost");
    };
    with_a_job_on_top(waits, || _ = COUNT.update(|count| *count += 1));
    assert_eq!(stats().updates_lost, lost + 1);
}

#[test]
fn a_borrow_over_a_wait_stays_as_it_is_whatever_a_job_on_top_does() {
    static KEY: Key<u64> = Key::new(NS, "borrow over a wait");
    let waits = |wait: &dyn Fn()| {
        KEY.set(1);
        KEY.with(|value| (wait(), assert_eq!(*value, 1)));
        assert_eq!(KEY.cloned(), Some(2), "the key is the worker's");
    };
    with_a_job_on_top(waits, || KEY.set(2));
    with_a_job_on_top(
        |wait| _ = (KEY.set(1), KEY.with(|value| (wait(), assert_eq!(*value, 1)))),
        || {
            assert!(threadctx::exit_thread_ctx());
        },
    );
}

#[test]
fn a_job_on_top_that_carries_brings_its_own_and_takes_it_away() {
    static KEY: Key<u64> = Key::new(NS, "carries on top").inherit();
    let waits = |wait: &dyn Fn()| {
        KEY.set(1);
        wait();
        assert_eq!(KEY.cloned(), Some(1));
        KEY.scope(5, || twin::join(|| assert_eq!(KEY.replace(6).as_deref(), Some(&5)), || ()));
        assert_eq!(KEY.cloned(), Some(1));
    };
    with_a_job_on_top(waits, || {
        assert_eq!(KEY.cloned(), Some(1), "a plain job finds what is there");
        Snapshot::default().run(|| KEY.set(9));
    });
}

#[test]
fn pieces_of_a_parallel_iterator_carry_what_they_enter() {
    static KEY: Key<u64> = Key::new(NS, "iterator").inherit();
    KEY.set(1);
    let snapshot = Snapshot::capture();
    let sum: u64 =
        pool(3).install(|| (0..1_000).into_par_iter().map(|_| snapshot.run(|| KEY.cloned().unwrap())).sum());
    assert_eq!(sum, 1_000);
}

#[test]
fn workers_are_listed_by_name_from_their_start_and_gone_when_the_pool_is() {
    let ended = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&ended);
    let (send, exits) = mpsc::channel();
    let _hook = threadctx::on_thread_exit(move |ctx| {
        if ctx.handle().thread_name().is_some_and(|name| name.starts_with("listed-")) {
            *counted.lock().unwrap() += 1;
            send.send(ctx.handle()).unwrap();
        }
    });
    let named = ThreadPoolBuilder::new().num_threads(3).thread_name(|number| format!("listed-{number}"));
    let pool = named.register_workers().build().unwrap();
    // All three have started once each is in a job that waits for the others.
    let all = Barrier::new(3);
    pool.broadcast(|_| _ = all.wait());
    let mut names: Vec<_> =
        contexts().iter().filter_map(|context| context.thread_name().map(str::to_owned)).collect();
    names.retain(|name| name.starts_with("listed-"));
    names.sort();
    assert_eq!(names, ["listed-0", "listed-1", "listed-2"]);
    drop(pool);
    // rayon does not join its workers: their exits say when they are over.
    let over: Vec<_> = exits.iter().take(3).collect();
    assert!(over.iter().all(|context| context.state() != State::Running));
    assert_eq!(*ended.lock().unwrap(), 3);
}

thread_local! {
    static WITNESS: Witness = const { Witness(RefCell::new(None)) };
}

/// Tells, as its thread's locals are dropped, in which state a context is by then.
struct Witness(RefCell<Option<(ContextRef, mpsc::Sender<State>)>>);

impl Drop for Witness {
    fn drop(&mut self) {
        let (context, to) = self.0.take().unwrap();
        to.send(context.state()).unwrap();
    }
}

#[test]
fn a_worker_exits_as_it_stops_before_its_thread_locals_are_dropped() {
    let pool = ThreadPoolBuilder::new().num_threads(2).register_workers().build().unwrap();
    let (send, seen) = mpsc::channel();
    pool.broadcast(|_| {
        WITNESS.with(|witness| witness.0.replace(Some((get_thread_ctx().handle(), send.clone()))));
    });
    drop((pool, send));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [State::Exited; 2]);
}
