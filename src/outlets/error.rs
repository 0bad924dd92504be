//! Why an outlet could not be opened.

use std::{fmt, io, path::Path};

use crate::TypeMismatch;

/// An outlet for dumps could not be opened: nothing was changed.
///
/// ```
/// use std::time::Duration;
///
/// let nowhere = threadctx::watchdog(Duration::from_secs(30)).to_file("/no/such/folder/dump.txt");
/// println!("{}", nowhere.unwrap_err());
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OutletError(Reason);

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(
        "the dump has no outlet: its thread {name:?} could not be started ({source}), most likely because the process has \
         as many as it may have; open outlets early, while there is room"
    )]
    Thread { name: &'static str, source: io::Error },
    #[error(
        "the panic hook was not installed: this thread is panicking, and std changes no hook then; install it before, once, \
         early in `main`"
    )]
    Panicking,
    #[error("the dump cannot go to {path}: {source}; name a file, new or regular, in a folder that is there")]
    File { path: String, source: io::Error },
    #[cfg(all(unix, feature = "signal"))]
    #[error(
        "signal {signal} cannot be had for dumps: {source}; use one that means nothing else to the program, like SIGUSR1"
    )]
    Signal { signal: i32, source: io::Error },
    #[error("the key cannot be watched: {0}")]
    Key(#[from] TypeMismatch),
}

impl OutletError {
    pub(super) fn thread(name: &'static str, source: io::Error) -> Self {
        Self(Reason::Thread { name, source })
    }

    pub(super) fn panicking() -> Self {
        Self(Reason::Panicking)
    }

    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self(Reason::File { path: shown(path).to_string(), source })
    }

    #[cfg(all(unix, feature = "signal"))]
    pub(super) fn signal(signal: i32, source: io::Error) -> Self {
        Self(Reason::Signal { signal, source })
    }

    pub(super) fn key(mismatch: TypeMismatch) -> Self {
        Self(Reason::Key(mismatch))
    }
}

/// A path in a message.
pub(super) fn shown(path: &Path) -> impl fmt::Display {
    format!("{path:?}")
}
