//! Over the number of live contexts, each of a waiting task.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use threadctx::{DumpOptions, Key, exit_thread_ctx};

use crate::{
    crowd::Crowd,
    plot::Chart,
    timing::{Figures, Plan, interleaved, looped},
};

static KEY: Key<u64> = Key::new("by-contexts", "value").debug();
static OPAQUE: Key<u64> = Key::new("by-contexts", "opaque");

const SIZES: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

fn fill() {
    KEY.set(7);
    OPAQUE.set(7);
}

pub(crate) fn chart(plan: &Plan) -> Chart {
    let sizes = if plan.quick { &SIZES[..3] } else { &SIZES[..] };
    let about = ("by-contexts", "By live contexts", "contexts");
    let names = ["owner read", "owner write", "remote read", "register + exit", "dump, per context"];
    Chart::new(about, names, sizes, |size| measure(plan, size))
}

fn measure(plan: &Plan, size: usize) -> [f64; 5] {
    let crowd = Crowd::of(size, fill);
    // Before the owner has a context, since it is to come and go.
    let [lifetime] = interleaved(
        plan,
        [looped(|| {
            fill();
            exit_thread_ctx()
        })],
    );
    fill();
    let [read, write, remote] = interleaved(
        plan,
        [
            looped(|| OPAQUE.with(|value| *value)),
            looped(|| OPAQUE.set(black_box(7))),
            looped(|| OPAQUE.get_in(&crowd.first)),
        ],
    );
    let dump = dump(plan, size + 1);
    exit_thread_ctx();
    [read.median, write.median, remote.median, lifetime.median, dump]
}

/// Nanoseconds per context of a dump of all, its JSON included.
fn dump(plan: &Plan, contexts: usize) -> f64 {
    let options =
        DumpOptions::new().max_contexts(contexts).max_bytes(1 << 30).budget(Duration::from_secs(60));
    let times = plan.scaled(5, 1).max(2_000 / contexts);
    let samples = (0..times).map(|_| {
        let start = Instant::now();
        black_box(options.take().to_json());
        start.elapsed().as_secs_f64() * 1e9 / contexts as f64
    });
    Figures::of(samples.collect()).median
}
