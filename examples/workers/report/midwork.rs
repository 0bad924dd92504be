//! A dump that is taken while the others work.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use threadctx::{ContextRef, Dump, DumpOptions, TextStyle, contexts};

use crate::pool::Pool;

/// How often to look, and how long to wait for a second worker at a file when there is a first one.
const PAUSE: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_millis(3);
/// How far into the work a dump has more to show: the counters have something in them.
const MOMENT: Duration = Duration::from_millis(20);

/// A dump that shows at least one thread in the middle of a file.
pub(crate) struct MidWork {
    dump: Dump,
    busy: usize,
}

/// Takes a dump in the middle of the work; none if there is no file to be at.
///
/// A small folder is counted before a thread that looks for it gets its turn. So the workers hold their first files
/// until a dump has been taken; where there is more to do, the one that counts is taken later, when nobody waits.
pub(crate) fn catch(pool: &mut Pool) -> Option<MidWork> {
    wait_for_files(pool);
    let first = MidWork::take();
    pool.open_gate();
    let later = if pool.is_at_work_after(MOMENT) { MidWork::take() } else { None };
    later.or(first)
}

fn wait_for_files(pool: &Pool) {
    let started = Instant::now();
    while pool.is_at_work_after(PAUSE) {
        if started.elapsed() > PATIENCE && contexts().iter().any(is_at_file) {
            return;
        }
    }
}

fn is_at_file(context: &ContextRef) -> bool {
    context.namespace("work").contains("file")
}

impl MidWork {
    /// The dump itself has to show it: what was true of the registry a moment before need not be true of the dump.
    fn take() -> Option<Self> {
        let suits_the_terminal = TextStyle::of(&io::stdout());
        let dump = DumpOptions::new().text_style(suits_the_terminal).take();
        let busy = dump.to_string().lines().filter(|line| line.starts_with("    work.file ")).count();
        (busy > 0).then_some(Self { dump, busy })
    }
}

impl fmt::Display for MidWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.busy == 1 { "1 thread" } else { &format!("{} threads", self.busy) };
        writeln!(f, "In the middle of the work, with {threads} in the middle of a file:\n")?;
        write!(f, "{}", self.dump)
    }
}
