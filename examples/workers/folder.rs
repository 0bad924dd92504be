//! Whether there is a folder to count in, found out before any thread starts.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use crate::Failure;

/// # Errors
///
/// It does not exist, is no folder, or cannot be read.
pub(crate) fn check(folder: &Path) -> Result<(), Failure> {
    let path = folder.to_owned();
    listed(folder).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::NoFolder(path),
        ErrorKind::NotADirectory => Failure::NotAFolder(path),
        _ => Failure::ClosedFolder(path, error),
    })
}

/// Looks for the first entry too: some folders open, and only then refuse.
fn listed(folder: &Path) -> io::Result<()> {
    fs::read_dir(folder)?.next().transpose().map(drop)
}
