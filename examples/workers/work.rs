//! Counts files, and keeps the present one and the counters where others can see them: in the thread's context.

use std::{
    convert::Infallible,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crossbeam_channel::Receiver;
use threadctx::Key;

use crate::{
    count, pool,
    tally::{Counters, LeftOut, Tally},
};

static FILE: Key<PathBuf> = Key::new("work", "file").debug();

/// What the thread counted outlives it: the total has the counters of threads that are gone too.
static COUNTERS: Key<Counters> =
    Key::new("work", "counters").json().init(Counters::default).keep_total(Counters::merged);

threadctx::accessors! {
    /// The file that the current thread is counting, named from the folder on.
    FILE: PathBuf { with: with_file, scope: at_file }

    /// What the current thread has counted so far.
    COUNTERS: Counters { with: with_counters }
}

/// Counts files until no more come. The first one waits for the gate, which is open when its channel is closed.
pub(crate) fn run(files: &Receiver<PathBuf>, gate: &Receiver<Infallible>) {
    let settings = pool::get_settings().expect("the pool gives every thread its settings");
    let mut buffer = vec![0; settings.buffer_bytes];
    for file in files {
        at_file(file, || {
            let _ = gate.recv();
            count_file(&settings.folder, &mut buffer);
        });
    }
}

/// Notes something that could not, or should not, be counted.
pub(crate) fn leave_out(reason: LeftOut) {
    with_counters(|counters| counters.change(|tally| tally.leave_out(reason)));
}

/// What all threads have counted so far, those that are gone included.
pub(crate) fn total() -> Tally {
    COUNTERS.total().map(Counters::into_tally).unwrap_or_default()
}

/// Counts the file that the thread is at.
fn count_file(folder: &Path, buffer: &mut [u8]) {
    with_file(|file| match count::file(&folder.join(file), buffer) {
        Ok(counts) => {
            let extension = file.extension().map(OsStr::to_string_lossy).unwrap_or_default();
            with_counters(|counters| counters.change(|tally| tally.add(&extension, counts)));
        }
        Err(error) => leave_out(LeftOut::from(Some(&error))),
    });
}
