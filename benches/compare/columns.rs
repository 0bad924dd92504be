//! What is compared: one column each.

use std::{hint::black_box, thread};

use opentelemetry::Context;
use threadctx::{Key, context, get_thread_ctx};

use crate::{
    Measured,
    peers::{CELL, PATTERN, PER_THREAD, SWAP, TASK, Value, map_get, map_set, pattern_get, pattern_set},
    population::Population,
    timing::{Plan, Side, interleaved, looped},
};

static KEY: Key<u64> = Key::new("compare", "key");

type Measure = fn(&Plan) -> Measured;

pub(crate) const COLUMNS: [(&str, Measure); 6] = [
    ("read", read),
    ("write", write),
    ("enter + leave", enter_and_leave),
    ("read by name", read_by_name),
    ("write by name", write_by_name),
    ("read another thread's", read_remote),
];

fn measure<const N: usize>(plan: &Plan, sides: [(&'static str, Side<'_>); N]) -> Measured {
    let names = sides.each_ref().map(|(name, _)| *name);
    names.into_iter().zip(interleaved(plan, sides.map(|(_, side)| side))).collect()
}

fn read(plan: &Plan) -> Measured {
    KEY.set(7);
    measure(
        plan,
        [
            ("threadctx", looped(|| KEY.with(|value| *value))),
            ("thread_local!", looped(|| CELL.with_borrow(|value| *value))),
            ("thread_local crate", looped(|| PER_THREAD.get_or_default().get())),
            ("tokio task_local!", looped(|| TASK.get())),
            (
                "opentelemetry Context",
                looped(|| Context::map_current(|current| current.get::<Value>().map(|value| value.0))),
            ),
            ("arc-swap, one for all", looped(|| **SWAP.load())),
        ],
    )
}

fn write(plan: &Plan) -> Measured {
    measure(
        plan,
        [
            ("threadctx", looped(|| KEY.set(black_box(7)))),
            ("thread_local!", looped(|| CELL.set(black_box(7)))),
            ("thread_local crate", looped(|| PER_THREAD.get_or_default().set(black_box(7)))),
            ("arc-swap, one for all", looped(|| SWAP.store(black_box(7).into()))),
        ],
    )
}

fn enter_and_leave(plan: &Plan) -> Measured {
    let span = tracing::info_span!("entered");
    measure(
        plan,
        [
            ("threadctx", looped(|| drop(KEY.enter(black_box(7))))),
            ("tokio task_local!", looped(|| TASK.sync_scope(black_box(7), || ()))),
            (
                "opentelemetry Context",
                looped(|| drop(Context::current_with_value(Value(black_box(7))).attach())),
            ),
            ("tracing span", looped(|| drop(span.enter()))),
            ("log-mdc", looped(|| drop(log_mdc::insert_scoped("entered", black_box("7"))))),
        ],
    )
}

fn read_by_name(plan: &Plan) -> Measured {
    let named = || get_thread_ctx().namespace(black_box("compare"));
    named().insert("value", 7_u64).expect("the name is free");
    pattern_set("value", 7);
    measure(
        plan,
        [
            ("threadctx", looped(|| named().get::<u64>(black_box("value")))),
            ("thread_local!", looped(|| map_get(black_box("value")))),
            (
                "DashMap<ThreadId, HashMap<String, Arc<dyn Any>>>",
                looped(|| pattern_get(thread::current().id(), black_box("value"))),
            ),
            ("log-mdc", looped(|| log_mdc::get(black_box("value"), |value| value.map(str::len)))),
        ],
    )
}

fn write_by_name(plan: &Plan) -> Measured {
    let named = || get_thread_ctx().namespace(black_box("compare"));
    measure(
        plan,
        [
            ("threadctx", looped(|| named().insert_opaque(black_box("value"), 7_u64).is_ok())),
            ("thread_local!", looped(|| map_set(black_box("value"), 7))),
            (
                "DashMap<ThreadId, HashMap<String, Arc<dyn Any>>>",
                looped(|| pattern_set(black_box("value"), 7)),
            ),
            ("log-mdc", looped(|| log_mdc::insert(black_box("value"), "7"))),
        ],
    )
}

fn read_remote(plan: &Plan) -> Measured {
    let other = Population::of(1, || {
        KEY.set(7);
        pattern_set("value", 7);
    });
    let id = other.ids().next().expect("there is one");
    let owner = context(id).expect("it waits");
    let measured = measure(
        plan,
        [
            ("threadctx", looped(|| KEY.get_in(&owner))),
            (
                "DashMap<ThreadId, HashMap<String, Arc<dyn Any>>>",
                looped(|| pattern_get(id, black_box("value"))),
            ),
            ("arc-swap, one for all", looped(|| SWAP.load_full())),
        ],
    );
    PATTERN.remove(&id);
    measured
}
