//! The owner's worst moments, left alone and while another thread iterates and dumps without pause.

use std::{hint::black_box, time::Duration};

use threadctx::Key;

use crate::{
    inspector::Inspector,
    latency::{BATCH, Latency},
    page,
    timing::{Figures, Plan},
};

static KEY: Key<u64> = Key::new("latencies", "visible").debug();

/// Figures are taken for each turn and their medians shown, so that one in which the scheduler took the core away spoils
/// no other. The maximum is that of the median turn too.
const TURNS: usize = 21;

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];

pub(crate) fn table(plan: &Plan) -> String {
    KEY.set(7);
    let time = Duration::from_millis(plan.scaled(50, 1) as u64);
    let set = || Latency::of(time, || KEY.set(black_box(7)));
    let with = || Latency::of(time, || KEY.with(|value| *value));
    let turns = plan.scaled(TURNS, 2);
    let inspector = Inspector::of(&KEY);
    let alone = |sample: &dyn Fn() -> Latency| (0..turns).map(|_| sample()).collect::<Vec<_>>();
    let rows = [
        row("set, undisturbed", &alone(&set)),
        row("set, a busy thread beside it", &inspector.beside(turns, set)),
        row("set, inspected", &inspector.during(turns, set)),
        row("with, undisturbed", &alone(&with)),
        row("with, a busy thread beside it", &inspector.beside(turns, with)),
        row("with, inspected", &inspector.during(turns, with)),
    ];
    let quantiles = QUANTILES.map(|(name, _)| name.to_owned());
    let head: Vec<_> = [format!("{BATCH} in a row, ns")].into_iter().chain(quantiles).collect();
    page::table(&head, rows)
}

fn row(name: &str, turns: &[Latency]) -> Vec<String> {
    let at = |quantile| Figures::of(turns.iter().map(|turn| turn.quantile(quantile)).collect()).median;
    let cells = QUANTILES.map(|(_, quantile)| format!("{:.0}", at(quantile)));
    [name.to_owned()].into_iter().chain(cells).collect()
}
