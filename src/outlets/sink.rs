//! What an outlet does with its text: standard error, or a file.

use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{OutletError, error::shown, file};
use crate::{
    TextStyle,
    os::{self, Stderr},
    stats,
};

/// Writes to standard error, past std's lock: a blocked thread may hold that.
pub(super) fn to_stderr(text: impl Display) {
    write_all(text.to_string().as_bytes());
}

/// The same, of a text that may be coloured.
pub(super) fn write_to_stderr(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
    let mut text = Vec::new();
    // Memory takes everything.
    let _ = write(&mut text);
    write_all(&text);
}

/// How long standard error may take nothing before the rest of a text is given up. The outlet's own thread waits.
const PATIENCE: Duration = Duration::from_secs(10);

fn write_all(text: &[u8]) {
    if Stderr::until(Instant::now() + PATIENCE).write_all(text).is_err() {
        stats::count(|counters| &counters.reports_cut);
    }
}

/// What suits standard error, be it a terminal or not, for an outlet that is being opened.
pub(super) fn style() -> TextStyle {
    os::reserve_terminal();
    TextStyle::of(&io::stderr())
}

/// A file that is written anew by each dump.
pub(super) struct Target(PathBuf);

impl Target {
    pub(super) fn new(path: &Path) -> Result<Self, OutletError> {
        file::checked(path).map(Self).map_err(|error| OutletError::file(path, error))
    }

    /// Whether it is to hold JSON: by its name.
    pub(super) fn is_json(&self) -> bool {
        self.0.extension().is_some_and(|extension| extension == "json")
    }

    /// Nobody waits for an answer, so an error goes to standard error.
    pub(super) fn write(&self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        if let Err(error) = file::write(&self.0, content) {
            to_stderr(format_args!("threadctx: no dump was written to {}: {error}\n", shown(&self.0)));
        }
    }
}
