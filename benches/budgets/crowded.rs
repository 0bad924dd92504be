//! What eight writers lose to a thread that dumps a hundred thousand contexts again and again.

use std::{thread, time::Duration};

use threadctx::Key;

use crate::{
    crowd::Crowd,
    row::Row,
    timing::{Figures, Plan},
    writers::{Dumper, Shared, WRITERS, pace},
};

static KEY: Key<u64> = Key::new("crowded", "value").json();

const CONTEXTS: usize = 100_000;
/// Turns with the dump and without it.
const TURNS: usize = 7;

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let _crowd = Crowd::of(plan.scaled(CONTEXTS, 10), || KEY.set(7));
    let time = Duration::from_millis(plan.scaled(200, 5) as u64);
    let shared = Shared::default();
    let (mut dumped, mut alone) = (Vec::new(), Vec::new());
    thread::scope(|scope| {
        let dumper = Dumper::start(scope, &shared);
        for _ in 0..plan.scaled(TURNS, 2) {
            alone.push(pace(&KEY, time));
            dumped.push(dumper.during(|| pace(&KEY, time)));
        }
        dumper.end();
    });
    let name = format!("set by {WRITERS} writers, {CONTEXTS} contexts dumped in a loop / undisturbed");
    vec![Row::new(name, &Figures::of(dumped), &Figures::of(alone), 1.05)]
}
