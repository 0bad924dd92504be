//! Why an outlet could not be opened.

use std::{fmt, io, path::Path};

use crate::TypeMismatch;

/// An outlet for dumps could not be opened: nothing was changed. Its text has the cause in it.
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
        "the dump has no outlet: its thread {name:?} could not be started ({error}), most likely because the process has \
         as many as it may have; open outlets early, while there is room"
    )]
    Thread { name: &'static str, error: io::Error },
    #[error(
        "the panic hook was not installed: this thread is panicking, and std changes no hook then; install it before, once, \
         early in `main`"
    )]
    Panicking,
    #[error(
        "the dump cannot go to {path}: {error}; name a file, new or regular, in a folder that this process may write to"
    )]
    File { path: String, error: io::Error },
    #[cfg(all(unix, feature = "signal"))]
    #[error(
        "signal {signal} cannot be had for dumps: {error}; use one that means nothing else to the program, like SIGUSR1"
    )]
    Signal { signal: i32, error: io::Error },
    #[cfg(all(unix, feature = "signal"))]
    #[error(
        "no dump can be had on signal {signal}: {error}; open outlets early, before the system's limits are met"
    )]
    System { signal: i32, error: io::Error },
    #[error("the key cannot be watched: {0}")]
    Key(TypeMismatch),
}

impl OutletError {
    pub(super) fn thread(name: &'static str, error: io::Error) -> Self {
        Self(Reason::Thread { name, error })
    }

    pub(super) fn panicking() -> Self {
        Self(Reason::Panicking)
    }

    pub(super) fn file(path: &Path, error: io::Error) -> Self {
        Self(Reason::File { path: shown(path).to_string(), error })
    }

    #[cfg(all(unix, feature = "signal"))]
    pub(super) fn signal(signal: i32, error: io::Error) -> Self {
        // Another signal helps where this one is the matter.
        Self(match error.kind() {
            io::ErrorKind::InvalidInput => Reason::Signal { signal, error },
            _ => Reason::System { signal, error },
        })
    }

    pub(super) fn key(mismatch: TypeMismatch) -> Self {
        Self(Reason::Key(mismatch))
    }
}

/// A path in a message.
pub(super) fn shown(path: &Path) -> impl fmt::Display {
    format!("{path:?}")
}
