//! Bytes: of a context, of a value, of a key. Counted by the allocator.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use crate::{
    bytes::{held, start_counting},
    crowd::Crowd,
    row::Row,
    timing::Plan,
};

/// Values per context for which each may take so much; the other numbers are for information.
const TYPICAL: usize = 8;
const VALUES: [usize; 4] = [1, TYPICAL, 100, 1_000];
const CONTEXTS: usize = 1_000;
/// More than there can be threads: tasks, each of which is counted with its context.
const CROWD: usize = 100_000;

type Keys = Arc<[&'static Key<u64>]>;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    start_counting();
    let (contexts, crowd) = (plan.scaled(CONTEXTS, 10), plan.scaled(CROWD, 20));
    // What the first context and the first key need once in a process is not theirs.
    get_thread_ctx();
    let (keys, key) = keys(plan.scaled(1_000, 10));
    let before = held();
    let [empty] = steps(contexts, [Arc::new(touch)]);
    let values = VALUES.map(|values| each_of(contexts, values, &keys));
    let of_crowd = of_crowd(crowd);
    let after_crowd = (held() - before) as f64;
    let empty = Row::bytes(format!("memory: an empty context, one of {contexts}"), empty, Some(512.0));
    let rest = [
        Row::bytes("memory: a key, used once, for the whole process", key, None),
        Row::bytes(format!("memory: an empty context with its task, one of {crowd}"), of_crowd, None),
        Row::bytes(format!("memory: what stays when {crowd} contexts have gone"), after_crowd, None),
    ];
    [empty].into_iter().chain(values).chain(rest).collect()
}

fn each_of(contexts: usize, values: usize, keys: &Keys) -> Row {
    let allowed = (values == TYPICAL).then_some(64.0);
    let name = format!("memory: each of {values} values beside its own size");
    Row::bytes(name, each(contexts, values.min(keys.len()), keys), allowed)
}

/// Keys, and the bytes that the crate keeps for each once it was used.
fn keys(count: usize) -> (Keys, f64) {
    let name = |number| &*format!("key-{number}").leak();
    let keys: Keys =
        (0..count).map(|number| &*Box::leak(Box::new(Key::new("memory", name(number))))).collect();
    let before = held();
    for key in &*keys {
        key.check().expect("nobody else uses these names");
    }
    let each = (held() - before) as f64 / count as f64;
    (keys, each)
}

/// Bytes per value beside its own.
fn each(contexts: usize, values: usize, keys: &Keys) -> f64 {
    let keys = Arc::clone(keys);
    let fill = move || keys[..values].iter().for_each(|key| key.set(7));
    let [_, filled] = steps(contexts, [Arc::new(touch), Arc::new(fill)]);
    filled / values as f64 - size_of::<u64>() as f64
}

/// Bytes per context of a crowd, which goes before this returns.
fn of_crowd(crowd: usize) -> f64 {
    let before = held();
    let _crowd = Crowd::of(crowd, touch);
    (held() - before) as f64 / crowd as f64
}

type Step = Arc<dyn Fn() + Send + Sync>;

fn touch() {
    get_thread_ctx();
}

/// Has so many threads take these steps side by side, and says how many bytes each step added per thread.
fn steps<const N: usize>(threads: usize, steps: [Step; N]) -> [f64; N] {
    let line = Arc::new(Barrier::new(threads + 1));
    let body = {
        let (line, steps) = (Arc::clone(&line), steps);
        move || {
            for step in &steps {
                line.wait();
                step();
                line.wait();
            }
            line.wait();
            exit_thread_ctx();
        }
    };
    let builder = || thread::Builder::new().stack_size(64 * 1024);
    let all: Vec<_> =
        (0..threads).map(|_| builder().spawn(body.clone()).expect("there are threads left")).collect();
    let added = std::array::from_fn(|_| {
        let before = held();
        line.wait();
        line.wait();
        (held() - before) as f64 / threads as f64
    });
    line.wait();
    all.into_iter().for_each(|thread| thread.join().expect("the steps do not panic"));
    added
}
