//! What a dump of many contexts costs whoever takes it, as JSON.

use std::{
    future,
    hint::black_box,
    io,
    pin::Pin,
    task::{Context, Waker},
    time::Instant,
};

use serde::Serialize;
use threadctx::{DumpOptions, FutureExt, Key};

use crate::{
    row::Row,
    timing::{Plan, Side, interleaved},
};

const CONTEXTS: usize = 10_000;
const ROUNDS: usize = 9;

macro_rules! keys {
    ($($name:ident)*) => { [$(Key::new("dumped", stringify!($name)).json()),*] };
}
static KEYS: [Key<u64>; 8] = keys!(one two three four five six seven eight);

/// The data of a dump in plain structures, as somebody would have it who had nothing to look up, read or bound.
#[derive(Serialize)]
struct PlainContext {
    ident: String,
    kind: &'static str,
    state: &'static str,
    parent: String,
    registered_us_ago: u64,
    last_write_us_ago: u64,
    values: Vec<PlainValue>,
}

#[derive(Serialize)]
struct PlainValue {
    namespace: String,
    name: String,
    r#type: &'static str,
    value: u64,
    age_us: u64,
    writes: u32,
    inherited: bool,
    shown: &'static str,
}

fn plain(contexts: usize) -> Vec<PlainContext> {
    let value = |number| PlainValue {
        namespace: "dumped".to_owned(),
        name: "three".to_owned(),
        r#type: "u64",
        value: number,
        age_us: 1_234_567,
        writes: 1,
        inherited: false,
        shown: "json",
    };
    let context = |number: usize| PlainContext {
        ident: format!("TaskId({number})"),
        kind: "task",
        state: "running",
        parent: "ThreadId(1)".to_owned(),
        registered_us_ago: 1_234_567,
        last_write_us_ago: 1_234_567,
        values: (0..KEYS.len()).map(|_| value(number as u64)).collect(),
    };
    (0..contexts).map(context).collect()
}

/// A task that waits, with a value of each key in its context.
fn waiting(number: usize) -> Pin<Box<dyn Future<Output = ()>>> {
    let task = async move {
        KEYS.iter().for_each(|key| key.set(number as u64));
        future::pending().await
    };
    let mut task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task.in_context());
    assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    task
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let contexts = plan.scaled(CONTEXTS, 10);
    let _tasks: Vec<_> = (0..contexts).map(waiting).collect();
    let plain = plain(contexts);
    let options = DumpOptions::new().max_contexts(usize::MAX).max_bytes(usize::MAX);
    let plan = &Plan { rounds: plan.scaled(ROUNDS, 2), ..*plan };
    let [kept, kept_plain, streamed, streamed_plain] = interleaved(
        plan,
        [
            made(|| options.take().to_json()),
            made(|| serde_json::to_string(&plain).expect("it is plain")),
            made(|| options.write_json(&mut io::sink()).expect("it takes everything")),
            made(|| serde_json::to_writer(io::sink(), &plain).expect("it is plain")),
        ],
    );
    let name = |how: &str| {
        format!("JSON of {CONTEXTS} contexts x {} values / serde_json on a plain Vec: {how}", KEYS.len())
    };
    vec![
        Row::new(name("to a String"), &kept, &kept_plain, 1.5),
        Row::shown(name("streamed into nothing"), &streamed, &streamed_plain),
    ]
}

/// What it takes to make something, and not to drop it.
fn made<'a, R>(make: impl Fn() -> R + 'a) -> Side<'a> {
    let timed = move || {
        let start = Instant::now();
        let made = black_box(make());
        let took = start.elapsed();
        drop(made);
        took
    };
    Box::new(move |times| (0..times).map(|_| timed()).sum())
}
