//! How the cost grows with the number of contexts, keys, names and threads, and what the owner notices of being looked at.
//!
//! `cargo bench --bench curves` measures; `-- --write` writes the figures and plots to `docs/performance/` and the table of
//! latencies into `docs/performance.md`; `-- --quick` only shows that everything runs.

use std::{fs, path::Path};

use clap::Parser;

mod by_contexts;
mod by_keys;
mod by_threads;
mod cpu;
#[path = "../support/crowd.rs"]
mod crowd;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/inspector.rs"]
mod inspector;
mod latencies;
#[path = "../support/latency.rs"]
mod latency;
#[path = "../support/page.rs"]
mod page;
mod plot;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/timing.rs"]
mod timing;

use plot::Chart;
use timing::Plan;

#[derive(Parser)]
struct Args {
    /// Write the figures, the plots and the table into docs.
    #[arg(long)]
    write: bool,
    /// Only show that everything runs: the figures are worth nothing.
    #[arg(long)]
    quick: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let args = Args::parse();
    let plan = Plan { rounds: 21, ..Plan::new(args.quick) };
    let folder = page::docs("performance");
    for measure in [by_contexts::chart, by_threads::chart, by_keys::by_keys, by_keys::by_names] {
        let chart = measure(&plan);
        print!("{}\n{}\n", chart.title, chart.csv());
        if args.write {
            write(&chart, &folder);
        }
    }
    let latencies = latencies::table(&plan);
    print!("{latencies}");
    if args.write {
        page::replace("latencies", &latencies);
    }
}

fn write(chart: &Chart, folder: &Path) {
    fs::create_dir_all(folder).expect("the folder can be made");
    let file = |ending| folder.join(format!("{}.{ending}", chart.file));
    fs::write(file("csv"), chart.csv()).expect("the figures can be written");
    chart.draw(&file("svg"));
}
