//! Whether the owner notices how many contexts and keys there are.

use threadctx::Key;

use crate::{
    population::Population,
    row::Row,
    timing::{Figures, Plan, interleaved, looped},
};

const CONTEXTS: usize = 10_000;
const KEYS: usize = 1_000;

/// How often the crowd comes and goes: what changes over the minute meets both sides.
const TURNS: usize = 5;

static FEW: Key<u64> = Key::new("many", "few");

/// Keys made at run time, all of which have a value here.
fn keys(count: usize) -> Vec<&'static Key<u64>> {
    let key = |number| Key::new("many", &*format!("key-{number}").leak());
    let keys: Vec<&'static Key<u64>> = (0..count).map(|number| &*Box::leak(Box::new(key(number)))).collect();
    keys.iter().for_each(|key| key.set(7));
    keys
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    let (crowd, count) = (plan.scaled(CONTEXTS, 10), plan.scaled(KEYS, 10));
    let plan = &Plan { rounds: plan.rounds.div_ceil(TURNS), ..*plan };
    FEW.set(7);
    let mut many = None;
    let turns = (0..TURNS).map(|_| {
        let alone = read(plan, &FEW);
        let _crowd = Population::of(crowd, || FEW.set(7));
        // Keys stay for good, so the first turn alone is one with a single key.
        let last: &'static Key<u64> = many.get_or_insert_with(|| keys(count)).last().expect("there are some");
        (alone, read(plan, last))
    });
    let (alone, among): (Vec<_>, Vec<_>) = turns.unzip();
    let name = format!("with, {crowd} contexts and {count} keys / with, one of each");
    vec![Row::new(name, &Figures::of(among), &Figures::of(alone), 1.1)]
}

fn read(plan: &Plan, key: &'static Key<u64>) -> f64 {
    let [figures] = interleaved(plan, [looped(|| key.with(|value| *value))]);
    figures.median
}
