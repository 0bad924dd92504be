//! Context that travels: a task's context beside the task itself, its polls beside those of a `task_local!` scope, and
//! snapshots beside opentelemetry's contexts.

use std::{
    future::Future,
    hint::black_box,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Instant,
};

use opentelemetry::Context as Telemetry;
use threadctx::{FutureExt, Key, Snapshot};
use tokio::runtime::{Builder, Runtime};

use crate::{
    row::Row,
    timing::{Plan, Side, interleaved, looped},
};

static KEYS: [Key<u64>; 8] = [
    Key::new("travel", "0").inherit(),
    Key::new("travel", "1").inherit(),
    Key::new("travel", "2").inherit(),
    Key::new("travel", "3").inherit(),
    Key::new("travel", "4").inherit(),
    Key::new("travel", "5").inherit(),
    Key::new("travel", "6").inherit(),
    Key::new("travel", "7").inherit(),
];

tokio::task_local! {
    static LOCAL: u64;
}

/// How many empty tasks are spawned before any is waited for.
const AT_ONCE: u32 = 64;

fn fill(value: u64) {
    KEYS.iter().for_each(|key| key.set(value));
}

/// Never done, and known to nobody who compiles a poll of it.
struct Never;

impl Future for Never {
    type Output = ();

    #[inline(never)]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        black_box(Poll::Pending)
    }
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The context alone: nobody spawns the future, it is polled in place.
fn task_context() -> bool {
    poll(pin!(async {}.in_context())).is_ready()
}

/// `tokio::spawn` of an empty task, run to its end.
fn spawned(runtime: &Runtime) -> Side<'_> {
    Box::new(|times| {
        runtime.block_on(async {
            let start = Instant::now();
            for first in (0..times).step_by(AT_ONCE as usize) {
                let spawn = |_| tokio::spawn(async {});
                let tasks: Vec<_> = (first..times.min(first + AT_ONCE)).map(spawn).collect();
                for task in tasks {
                    task.await.expect("it does not panic");
                }
            }
            start.elapsed()
        })
    })
}

/// tokio's default runtime, and the one where a spawn is cheapest, since nothing ever leaves the thread.
fn tasks(plan: &Plan) -> [Row; 2] {
    let many = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime can be made");
    let one = Builder::new_current_thread().build().expect("a runtime can be made");
    let [ours, default, cheapest] = interleaved(plan, [looped(task_context), spawned(&many), spawned(&one)]);
    let name = |theirs| format!("task context, made and ended / {theirs}");
    [
        Row::new(name("tokio::spawn of an empty task"), &ours, &default, 0.5),
        Row::shown(name("the same on a current-thread runtime"), &ours, &cheapest),
    ]
}

fn polls(plan: &Plan) -> Row {
    let mut ours = Box::pin(Never.in_context());
    let mut theirs = Box::pin(LOCAL.scope(7, Never));
    let [ours, theirs] =
        interleaved(plan, [looped(|| poll(ours.as_mut())), looped(|| poll(theirs.as_mut()))]);
    Row::new("poll in a context / in a task_local! scope", &ours, &theirs, 1.0)
}

/// opentelemetry keeps values by their type.
struct Value<const N: usize>(#[expect(dead_code, reason = "it is there to be kept")] u64);

fn with_8_values() -> Telemetry {
    let context = Telemetry::current();
    let context = context.with_value(Value::<0>(7)).with_value(Value::<1>(7)).with_value(Value::<2>(7));
    let context = context.with_value(Value::<3>(7)).with_value(Value::<4>(7)).with_value(Value::<5>(7));
    context.with_value(Value::<6>(7)).with_value(Value::<7>(7))
}

/// Captured here, and entered where the keys have other values: `other` is a snapshot of those.
fn capture_and_enter(other: &Snapshot) {
    let captured = black_box(Snapshot::capture());
    drop(black_box(other.enter()));
    drop(captured);
}

fn snapshots(plan: &Plan) -> [Row; 3] {
    fill(1);
    let other = Snapshot::capture();
    fill(2);
    let [away, home, theirs, ready] = interleaved(
        plan,
        [
            looped(|| capture_and_enter(&other)),
            looped(|| drop(black_box(Snapshot::capture().enter()))),
            looped(|| drop(black_box(with_8_values().attach()))),
            ready(),
        ],
    );
    KEYS.iter().for_each(|key| drop(key.take()));
    let name = |ours, theirs| format!("snapshot of 8 keys, captured + {ours} / opentelemetry {theirs}");
    [
        Row::new(name("entered among others", "8 values + attach"), &away, &theirs, 1.0),
        Row::new(name("entered at home", "8 values + attach"), &home, &theirs, 1.0),
        Row::shown(name("entered among others", "attach of what is there"), &away, &ready),
    ]
}

/// A context that has its values already is attached by a pointer.
fn ready() -> Side<'static> {
    let context = with_8_values();
    looped(move || drop(black_box(context.clone().attach())))
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let mut rows = Vec::from(tasks(plan));
    rows.push(polls(plan));
    rows.extend(snapshots(plan));
    rows
}
