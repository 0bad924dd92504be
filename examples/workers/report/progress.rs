//! How far they are, for a terminal.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use threadctx::ContextRef;

use super::number::Number;
use crate::{pool::Pool, work};

const EVERY: Duration = Duration::from_millis(100);

/// Waits for the pool to be through, and shows meanwhile how far it is, if somebody sits at a terminal.
pub(crate) fn show(pool: &Pool) {
    let bar = if io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    while pool.is_at_work_after(EVERY) {
        if !bar.is_hidden() {
            bar.set_message(state());
            bar.tick();
        }
    }
    bar.finish_and_clear();
}

/// One line: the sum, and who is at which file.
fn state() -> String {
    let sum = work::total().sum;
    let busy: Vec<_> = threadctx::contexts().iter().filter_map(at_work).collect();
    format!("{} files, {} bytes  {}", Number(sum.files), Number(sum.bytes), busy.join("  "))
}

/// The context knows its thread's name and file: all that the registry takes is the names they go by.
fn at_work(context: &ContextRef) -> Option<String> {
    let file = context.namespace("work").get::<PathBuf>("file").ok()??;
    Some(format!("{}: {file:?}", context.thread_name()?))
}
