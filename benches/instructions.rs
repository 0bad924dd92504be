//! How many instructions each hot operation takes, and whether that is what it took before.
//!
//! Counted by callgrind, so that the machine's mood does not matter: the guard against slow decay. Each operation runs in
//! a process of its own, in a loop whose own instructions, counted the same way, are subtracted. A driver of a page does
//! here what a framework would need a runner of its own for, installed in its very version.
//!
//! `cargo bench --bench instructions` prints the table; `-- --check` fails when an operation is over; `-- --write` puts the
//! table into `docs/performance.md`. Without valgrind, or elsewhere than on x86-64 Linux, it says so and does nothing.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Parser;
use operations::{ALL, Operation, prepare};

#[path = "support/operations.rs"]
mod operations;
#[path = "support/page.rs"]
mod page;

/// Instructions allowed per operation; the peers are for comparison. Who makes an operation cheaper lowers its number;
/// who has to raise one says why in the commit.
///
/// They are what was counted, and one in twenty more for what another compiler makes of it; one in seven where memory is
/// allocated, since C libraries differ.
const ALLOWED: [(&str, f64); 12] = [
    ("with", 27.0),
    ("get", 32.0),
    ("get_or_init, present", 49.0),
    ("set, opaque", 36.0),
    ("set, visible", 58.0),
    ("set, after a get", 615.0),
    ("update", 67.0),
    ("enter + leave", 815.0),
    ("Namespace::get", 615.0),
    ("Namespace::insert", 1250.0),
    ("context + get_in", 287.0),
    ("register + 4 keys + exit", 6850.0),
];

/// Operations per count. The first ones, not counted, are to meet what happens only once.
const TIMES: u32 = 1_000;

#[derive(Parser)]
struct Args {
    /// Fail when an operation takes more instructions than allowed.
    #[arg(long)]
    check: bool,
    /// Put the table into docs/performance.md.
    #[arg(long)]
    write: bool,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// This is a process under callgrind, for the operation of this number.
    #[arg(long, hide = true)]
    operation: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(number) = args.operation {
        prepare();
        (ALL[number].run)(TIMES);
        counted_by_callgrind(&ALL[number]);
        return ExitCode::SUCCESS;
    }
    if let Some(why) = reason_to_skip() {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let rows = count_all();
    if args.write {
        let head = ["operation", "instructions", "allowed"].map(str::to_owned);
        let cells =
            rows.iter().map(|row| vec![row.name.to_owned(), format!("{:.1}", row.count), row.allowed()]);
        page::replace("instructions", &page::table(&head, cells));
    }
    ExitCode::from(u8::from(args.check && rows.iter().any(Row::is_over)))
}

/// What callgrind counts, everything that is called from here included.
#[inline(never)]
fn counted_by_callgrind(operation: &Operation) {
    (operation.run)(TIMES);
}

fn reason_to_skip() -> Option<&'static str> {
    let valgrind = || Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        Some("the numbers are those of x86-64 Linux")
    } else if valgrind().is_err() {
        Some("there is no valgrind (Debian, Ubuntu: apt-get install valgrind)")
    } else {
        None
    }
}

struct Row {
    name: &'static str,
    count: f64,
    allowed: Option<f64>,
}

impl Row {
    fn is_over(&self) -> bool {
        self.allowed.is_some_and(|allowed| self.count > allowed)
    }

    fn allowed(&self) -> String {
        self.allowed.map_or_else(String::new, |allowed| format!("{allowed:.0}"))
    }
}

fn count_all() -> Vec<Row> {
    let nothing = count(0);
    let mut rows = Vec::new();
    for (number, Operation { name, .. }) in ALL.iter().enumerate().skip(1) {
        let allowed = ALLOWED.iter().find(|(of, _)| of == name).map(|(_, allowed)| *allowed);
        let row = Row { name, count: count(number) - nothing, allowed };
        let verdict = if row.is_over() { "OVER" } else { "" };
        println!("{:<28} | {:>8.1} | {:>6} | {verdict}", row.name, row.count, row.allowed());
        rows.push(row);
    }
    rows
}

/// Instructions per operation, the loop's included.
fn count(number: usize) -> f64 {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{number}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_by_callgrind*"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe().expect("a process knows its file"))
        .args(["--operation", &number.to_string()])
        .output()
        .expect("valgrind was found a moment ago");
    assert!(output.status.success(), "callgrind failed:\n{}", String::from_utf8_lossy(&output.stderr));
    instructions_in(&file) as f64 / f64::from(TIMES)
}

fn instructions_in(file: &Path) -> u64 {
    let text = fs::read_to_string(file).expect("callgrind has written it");
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")).expect("it ends with the totals");
    total.trim().parse().expect("a number")
}
