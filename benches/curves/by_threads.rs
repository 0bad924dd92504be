//! Over the number of threads that work at once.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use crate::{
    cpu,
    plot::Chart,
    timing::{Figures, Plan},
};

static KEY: Key<u64> = Key::new("by-threads", "value");

const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

pub(crate) fn chart(plan: &Plan) -> Chart {
    KEY.set(7);
    let own = get_thread_ctx().handle();
    let about = ("by-threads", "By threads at work, time on the core per operation", "threads");
    let names = ["owner read", "owner write", "remote read, all of one context", "register + exit"];
    let sizes = if plan.quick { &SIZES[..2] } else { &SIZES[..] };
    Chart::new(about, names, sizes, |threads| {
        [
            at_once(plan, threads, || KEY.with(|value| *value)),
            at_once(plan, threads, || KEY.set(black_box(7))),
            at_once(plan, threads, || KEY.get_in(&own)),
            at_once(plan, threads, register_and_exit),
        ]
    })
}

fn register_and_exit() {
    KEY.set(7);
    exit_thread_ctx();
}

/// Nanoseconds per operation while so many threads do it: those that the thread had a core for, not those it waited for one.
fn at_once<R>(plan: &Plan, threads: usize, operation: impl Fn() -> R + Sync) -> f64 {
    let time = Duration::from_millis(plan.scaled(20, 1) as u64);
    let rounds = (0..plan.scaled(7, 1)).map(|_| for_a_while(time, threads, &operation));
    Figures::of(rounds.collect()).median
}

/// The threads' time on their cores, per operation.
fn for_a_while<R>(time: Duration, threads: usize, operation: &(impl Fn() -> R + Sync)) -> f64 {
    let (ready, over) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let work = || {
        // Registered before the time runs, where the operation does not do that itself.
        KEY.set(7);
        ready.wait();
        work_until(&over, operation)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        ready.wait();
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        let each = workers.into_iter().map(|worker| worker.join().expect("it does not panic"));
        let (spent, done) = each.fold((Duration::ZERO, 0), |(spent, done), (s, d)| (spent + s, done + d));
        spent.as_secs_f64() * 1e9 / done as f64
    })
}

/// What this thread spent on its core, and how often it did the operation.
fn work_until<R>(over: &AtomicBool, operation: &impl Fn() -> R) -> (Duration, u64) {
    let (start, mut done) = (cpu::spent(), 0);
    while !over.load(Ordering::Relaxed) {
        (0..100).for_each(|_| drop(black_box(operation())));
        done += 100;
    }
    (cpu::spent() - start, done)
}
