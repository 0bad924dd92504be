//! A pool of named threads counts the files, lines, words and bytes of a folder by file extension; the main thread
//! watches them through the registry alone.
//!
//! No module hands anything to another one. The pool puts the settings into each thread's context, the walk and the work
//! ask the context for them and keep there what they are at, and the report looks in from outside:
//!
//! - [`pool`] starts and ends the threads; [`walk`] finds the files, [`work`] counts them;
//! - [`count`] reads one file, [`tally`] adds up many;
//! - [`report`] shows how far they are, what they were at in the middle of it, and what came out.

use std::{
    io::{self, Write},
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    thread,
};

use clap::Parser;

mod count;
mod failure;
mod folder;
mod pool;
mod report;
mod tally;
mod walk;
mod work;

use failure::Failure;
use pool::{Pool, Settings};

/// Counts the files, lines, words and bytes of a folder by file extension, with a pool of threads.
///
/// Symbolic links are not followed. Folders that are hidden (like `.git`) or marked as caches (by a `CACHEDIR.TAG`, like
/// cargo's `target`) are left out, unless `--all` is given. What is left out is counted under the table.
#[derive(Parser)]
#[command(name = "workers")]
struct Args {
    /// The folder to count in; without it, this repository
    #[arg(default_value = env!("CARGO_MANIFEST_DIR"), hide_default_value = true)]
    folder: PathBuf,

    /// How many threads count; without it, one for each processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Print the dump of all threads' contexts when it is taken, in the middle of the work, and not at the end
    #[arg(long)]
    dump: bool,

    /// Count in hidden folders and caches too
    #[arg(long)]
    all: bool,

    /// How many extensions stand in the table, the largest ones; the others share a line
    #[arg(long, value_name = "N", default_value_t = 25)]
    top: usize,
}

impl Args {
    fn threads(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, NonZero::get);
        self.threads.map_or_else(processors, usize::from)
    }

    fn settings(&self) -> Settings {
        Settings { folder: self.folder.clone(), all: self.all, ..Settings::default() }
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads our output has enough of it, as `head` does.
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // There is nobody left to tell if this fails too.
            let _ = writeln!(io::stderr(), "workers: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    folder::check(&args.folder)?;
    let pool = Pool::start(args.threads(), &args.settings())?;
    report::report(pool, args.dump, args.top)
}
