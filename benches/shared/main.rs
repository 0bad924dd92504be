//! The hot operations in an executable and, in the same process, in a shared library.
//!
//! `cargo bench --bench shared` prints the table; `-- --write` puts it into `docs/performance.md`; `-- --quick` only shows
//! that everything runs.

#![expect(unsafe_code, reason = "calls into a library that was loaded")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use clap::Parser;
use libloading::{Library, Symbol};

#[path = "../support/operations.rs"]
mod operations;
#[path = "../support/page.rs"]
mod page;
#[allow(dead_code, reason = "parts of it are for other benchmarks")]
#[path = "../support/timing.rs"]
mod timing;

use timing::{Figures, Plan, Side, interleaved};

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

type Prepare = extern "C" fn();
type Run = extern "C" fn(usize, u32);

fn main() {
    let args = Args::parse();
    let plan = Plan::new(args.quick);
    // SAFETY: the library is the one just built; loading it runs nothing of ours.
    let library = unsafe { Library::new(built()) }.expect("the library can be loaded");
    // SAFETY: library.rs exports it with this type.
    let prepare: Symbol<'_, Prepare> =
        unsafe { library.get(b"threadctx_operations_prepare") }.expect("it is there");
    // SAFETY: as above.
    let run: Symbol<'_, Run> = unsafe { library.get(b"threadctx_operations_run") }.expect("it is there");
    prepare();
    operations::prepare();
    let rows: Vec<_> = (1..operations::ALL.len()).map(|number| measure(&plan, number, *run)).collect();
    if args.write {
        let head = ["operation", "executable, ns", "shared library, ns"].map(str::to_owned);
        page::replace("shared", &page::table(&head, rows));
    }
    // Libraries with thread-local destructors cannot be unloaded.
    std::mem::forget(library);
}

/// The library, built as this is.
fn built() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "--example", "shared_library"];
    let status = Command::new(cargo).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    assert!(status.expect("cargo can be run").success(), "the library does not build");
    // From target/release/deps/NAME to target/release/examples.
    let executable = env::current_exe().expect("a process knows its file");
    let release = executable.parent().and_then(Path::parent).expect("cargo put it two folders deep");
    let (prefix, suffix) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    release.join("examples").join(format!("{prefix}shared_library{suffix}"))
}

fn measure(plan: &Plan, number: usize, run: Run) -> Vec<String> {
    let operation = &operations::ALL[number];
    let nothing = operations::ALL[0].run;
    let sides = [timed(nothing), timed(operation.run), timed(move |times| run(number, times))];
    let [call, here, there] = interleaved(plan, sides);
    let ns = |figures: &Figures| format!("{:.2}", figures.median - call.median);
    println!("{:<28} | {:>8} | {:>8}", operation.name, ns(&here), ns(&there));
    vec![operation.name.to_owned(), ns(&here), ns(&there)]
}

/// A function that has the loop in it.
fn timed(run: impl Fn(u32) + 'static) -> Side<'static> {
    Box::new(move |times| {
        let start = Instant::now();
        run(times);
        start.elapsed()
    })
}
