//! The budgets: what the crate may cost, as ratios to what a user would write or take instead.
//!
//! `cargo bench --bench budgets` prints one line per row; `-- --check` fails when one is over; `-- --json FILE` writes
//! the figures, `-- --write` the table in `docs/performance.md`; `-- --quick` only shows that everything runs.
//!
//! A row is added by a function in a file of its subject, and a line in `SUBJECTS`.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;

#[path = "../support/bytes.rs"]
mod bytes;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/crowd.rs"]
mod crowd;
mod crowded;
mod dumped;
mod inspected;
#[path = "../support/inspector.rs"]
mod inspector;
#[path = "../support/latency.rs"]
mod latency;
mod lifetime;
mod many;
mod memory;
mod names;
mod owner;
#[path = "../support/page.rs"]
mod page;
#[path = "../support/population.rs"]
mod population;
mod remote;
mod row;
#[path = "../support/timing.rs"]
mod timing;
mod travel;
#[path = "../support/writers.rs"]
mod writers;

use row::Row;
use timing::{LEAST_LOOP_COST, Plan, least_loop_cost, loop_cost};

/// Each subject measures its rows, in processes of its own: none finds the keys and the heap that another one left.
type Subject = fn(&Plan) -> Vec<Row>;

const SUBJECTS: [(&str, Subject); 10] = [
    ("many", many::rows),
    ("owner", owner::rows),
    ("names", names::rows),
    ("remote", remote::rows),
    ("lifetime", lifetime::rows),
    ("travel", travel::rows),
    ("inspected", inspected::rows),
    ("crowded", crowded::rows),
    ("dumped", dumped::rows),
    ("memory", memory::rows),
];

#[derive(Parser)]
struct Args {
    /// Only these subjects: many, owner, names, remote, lifetime, travel, inspected, crowded, dumped, memory.
    subjects: Vec<String>,
    /// Fail when a row is over its budget.
    #[arg(long)]
    check: bool,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the table into docs/performance.md.
    #[arg(long)]
    write: bool,
    /// Only show that everything runs: the figures are worth nothing.
    #[arg(long)]
    quick: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// This is the process of the one subject.
    #[arg(long, hide = true)]
    alone: bool,
}

/// So many processes for each subject, one after the other with those of all others in between. Where a process's memory
/// lies, and how the machine does for a minute, is luck that all rounds of one process share.
const PROCESSES: usize = 5;

/// In one process.
const ROUNDS: usize = 41;

fn main() -> ExitCode {
    let args = Args::parse();
    let plan = Plan::new(args.quick);
    let plan = Plan { rounds: plan.scaled(ROUNDS, plan.rounds), ..plan };
    if args.alone {
        let rows: Vec<_> = wanted(&args).flat_map(|(_, measure)| measure(&plan)).collect();
        println!("{}", serde_json::to_string(&rows).expect("rows can be written"));
        return ExitCode::SUCCESS;
    }
    let rows = measure(&args, &plan);
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&rows).expect("figures can be written");
        fs::write(file, text + "\n").expect("the file can be written");
    }
    if args.write {
        page::replace("budgets", &Row::table(&rows));
    }
    let over = rows.iter().filter(|row| row.is_over()).count();
    println!("\n{over} of {} rows over budget", rows.len());
    ExitCode::from(u8::from(args.check && over > 0))
}

fn measure(args: &Args, plan: &Plan) -> Vec<Row> {
    let processes = plan.scaled(PROCESSES, 1);
    println!(
        "loop: {:.2} ns, subtracted; medians of {processes} processes (quartiles), and in each of {} rounds",
        loop_cost(&Plan { rounds: plan.scaled(1_000, 3), ..*plan }).low,
        plan.rounds
    );
    let subjects: Vec<_> = wanted(args).map(|(name, _)| *name).collect();
    let mut measured: Vec<Vec<Vec<Row>>> = vec![Vec::new(); subjects.len()];
    for number in 1..=processes {
        for (subject, measured) in subjects.iter().zip(&mut measured) {
            eprint!("\r{number} of {processes}: {subject:<12}");
            measured.push(measured_alone(subject, plan));
        }
    }
    eprintln!();
    println!("{}", Row::heading());
    let rows = measured.into_iter().flat_map(Row::medians);
    rows.inspect(|row| println!("{row}")).collect()
}

fn wanted(args: &Args) -> impl Iterator<Item = &'static (&'static str, Subject)> {
    SUBJECTS
        .iter()
        .filter(|(name, _)| args.subjects.is_empty() || args.subjects.iter().any(|subject| subject == name))
}

fn measured_alone(subject: &str, plan: &Plan) -> Vec<Row> {
    let output = Command::new(env::current_exe().expect("a process knows its file"))
        .env(LEAST_LOOP_COST, least_loop_cost(f64::INFINITY).to_string())
        .args(["--alone", subject].into_iter().chain(plan.quick.then_some("--quick")))
        .stderr(Stdio::inherit())
        .output()
        .expect("it can be started again");
    assert!(output.status.success(), "{subject} failed: {}", output.status);
    serde_json::from_slice(&output.stdout).expect("it printed its rows")
}
