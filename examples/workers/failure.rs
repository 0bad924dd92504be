//! What can go wrong with the whole of it. What goes wrong with one file is counted instead: see `tally`.

use std::{io, path::PathBuf};

/// Why there is no result, or none to be trusted: what happened, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("there is no folder {0:?}. Check the spelling, or give another one.")]
    NoFolder(PathBuf),
    #[error("{0:?} is not a folder. Give the folder that it is in.")]
    NotAFolder(PathBuf),
    #[error("the folder {0:?} cannot be read: {1}. Ask for the right to read it, or give another one.")]
    ClosedFolder(PathBuf, io::Error),
    #[error("the thread {0:?} did not start: {1}. Try again with fewer `--threads`.")]
    NotStarted(String, io::Error),
    #[error("a thread panicked, so that files are missing in the counts. Please report its message, above.")]
    Panicked,
    #[error("{0} That is a bug of the registry: please report it.")]
    LeftBehind(String),
    #[error("the output could not be written: {0}.")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
