//! A value of another thread's.

use std::{
    sync::Arc,
    thread::{self, ThreadId},
};

use dashmap::DashMap;
use threadctx::{Key, context};

use crate::{
    population::Population,
    row::Row,
    timing::{Plan, interleaved, looped},
};

static KEY: Key<u64> = Key::new("remote", "value");

/// How many other threads have a value too.
const THREADS: usize = 64;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let threads = Population::of(THREADS, || KEY.set(7));
    let id = threads.ids().next().expect("there are some");
    let owner = context(id).expect("its thread waits");
    let map = pattern(&threads);
    let [get_in, by_id, theirs] = interleaved(
        plan,
        [
            looped(|| KEY.get_in(&owner)),
            looped(|| context(id).and_then(|owner| KEY.get_in(&owner))),
            looped(|| map.get(&id).map(|value| Arc::clone(&value))),
        ],
    );
    vec![
        Row::new("Key::get_in / DashMap get + Arc clone", &get_in, &theirs, 1.0),
        Row::shown("context(id) + get_in / DashMap get + Arc clone", &by_id, &theirs),
    ]
}

/// The same values in a map by thread.
fn pattern(threads: &Population) -> DashMap<ThreadId, Arc<u64>> {
    let others = threads.ids().chain([thread::current().id()]);
    others.map(|id| (id, Arc::new(7))).collect()
}
