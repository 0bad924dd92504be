//! The current thread's connection.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rusqlite::Connection;
use threadctx::Key;

use crate::Outcome;

static CONNECTION: Key<Open> = Key::new("db", "connection").display().on_exit(close);

static OPENED: AtomicUsize = AtomicUsize::new(0);
static CLOSED: AtomicUsize = AtomicUsize::new(0);

/// An open connection. It may move between threads but not be used by two at once, hence the lock, which nobody else ever
/// takes. It is taken out to be closed, since closing takes it by value: a drop could not say what went wrong.
struct Open {
    file: PathBuf,
    connection: Mutex<Option<Connection>>,
    statements: AtomicUsize,
}

/// Runs `f` with this thread's connection, which is opened to `file` if there is none yet.
///
/// # Errors
///
/// The file cannot be opened, and the next call tries again; or what `f` gives.
pub(crate) fn with<R>(file: &Path, f: impl FnOnce(&Connection) -> rusqlite::Result<R>) -> Outcome<R> {
    let open = CONNECTION.get_or_try_init(|| open(file))?;
    open.statements.fetch_add(1, Ordering::Relaxed);
    let connection = open.connection.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(f(connection.as_ref().ok_or("the connection is closed: the thread is exiting")?)?)
}

fn open(file: &Path) -> rusqlite::Result<Open> {
    let connection = Connection::open(file)?;
    // Writers wait for one another.
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.execute_batch("PRAGMA synchronous = NORMAL")?;
    OPENED.fetch_add(1, Ordering::Relaxed);
    Ok(Open {
        file: file.to_owned(),
        connection: Mutex::new(Some(connection)),
        statements: AtomicUsize::new(0),
    })
}

/// The exit hook: on the thread that exits, just before the value drops, whoever else may hold it.
fn close(open: &Open) {
    let connection = open.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(connection) = connection {
        connection.close().map_err(|(_, error)| error).expect("no statement is left open");
        CLOSED.fetch_add(1, Ordering::Relaxed);
    }
}

/// That so many connections were opened, and as many closed, without a panic on the way.
pub(crate) fn check_counts(expected: usize) -> Result<(), String> {
    let counts = (OPENED.load(Ordering::Relaxed), CLOSED.load(Ordering::Relaxed));
    let panics = threadctx::stats().hook_panics;
    if (counts, panics) == ((expected, expected), 0) {
        Ok(())
    } else {
        Err(format!("{expected} threads, but opened and closed {counts:?}, with {panics} panics"))
    }
}

impl fmt::Display for Open {
    /// Without the lock: a dump waits for nobody.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{file}, statements: {}", self.statements.load(Ordering::Relaxed))
    }
}
