//! The crate beside what a user would take instead, each used as its own documentation advises.
//!
//! `cargo bench --bench compare` prints the table; `-- --write` puts it into `docs/performance.md`; `-- --quick` only shows
//! that everything runs.

use clap::Parser;

mod columns;
#[path = "../support/page.rs"]
mod page;
mod peers;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/population.rs"]
mod population;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/timing.rs"]
mod timing;

use columns::COLUMNS;
use timing::{Figures, Plan};

/// Who is compared, in the table's order.
const CONTESTANTS: [&str; 9] = [
    "threadctx",
    "thread_local!",
    "thread_local crate",
    "DashMap<ThreadId, HashMap<String, Arc<dyn Any>>>",
    "tokio task_local!",
    "opentelemetry Context",
    "tracing span",
    "log-mdc",
    "arc-swap, one for all",
];

#[derive(Parser)]
struct Args {
    /// Put the table into docs/performance.md.
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
    let plan = Plan::new(args.quick);
    let columns = peers::in_their_scopes(|| COLUMNS.map(|(name, measure)| (name, measure(&plan))));
    let rows: Vec<_> = CONTESTANTS.iter().map(|contestant| row(contestant, &columns)).collect();
    let head: Vec<_> =
        ["ns"].into_iter().chain(columns.iter().map(|(name, _)| *name)).map(str::to_owned).collect();
    let table = page::table(&head, rows);
    print!("{table}");
    if args.write {
        page::replace("compare", &table);
    }
}

type Measured = Vec<(&'static str, Figures)>;

fn row(contestant: &str, columns: &[(&str, Measured)]) -> Vec<String> {
    let cell = |(_, measured): &(&str, Measured)| {
        let found = measured.iter().find(|(name, _)| *name == contestant);
        found.map_or_else(|| "–".to_owned(), |(_, figures)| format!("{:.1}", figures.median))
    };
    [contestant.to_owned()].into_iter().chain(columns.iter().map(cell)).collect()
}
