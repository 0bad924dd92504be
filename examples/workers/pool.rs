//! Starts the named threads, gives each one its settings, and waits for their end.

use std::{
    convert::Infallible,
    path::PathBuf,
    thread::{Builder, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use threadctx::Key;

use crate::{Failure, walk, work};

/// How many files may be found and not yet taken: enough that nobody waits, and no more memory for a larger folder.
const FILES_AHEAD: usize = 1_024;

/// What all threads go by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where to count.
    pub(crate) folder: PathBuf,
    /// Whether hidden folders and caches count too.
    pub(crate) all: bool,
    /// How much of a file a thread holds at a time.
    pub(crate) buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { folder: PathBuf::from("."), all: false, buffer_bytes: 64 << 10 }
    }
}

static SETTINGS: Key<Settings> = Key::new("pool", "settings").debug();

threadctx::accessors! {
    /// What the current thread goes by.
    SETTINGS: Settings { get: pub(crate) get_settings, set: set_settings }
}

/// The threads: one that finds the files, and those that count them.
pub(crate) struct Pool {
    threads: Vec<JoinHandle<()>>,
    /// Closes when the last thread is through; nothing is ever sent.
    through: Receiver<Infallible>,
    /// While it is there, the workers hold their first files. Nothing is sent here either.
    gate: Option<Sender<Infallible>>,
}

impl Pool {
    /// Starts `workers` threads that count, and one that finds them their files.
    ///
    /// # Errors
    ///
    /// A thread did not start. Those that did are left to themselves and end, since no more files come.
    pub(crate) fn start(workers: usize, settings: &Settings) -> Result<Self, Failure> {
        set_settings(settings.clone());
        let (found, files) = bounded(FILES_AHEAD);
        let (running, through) = bounded(0);
        let (gate, opened) = bounded(0);
        let mut threads = Vec::with_capacity(workers + 1);
        for number in 0..workers {
            let (files, opened) = (files.clone(), opened.clone());
            let job = move || work::run(&files, &opened);
            threads.push(start(format!("worker-{number}"), settings, &running, job)?);
        }
        // Were this end kept, the walker would wait for ever to hand a file to workers that are gone.
        drop(files);
        threads.push(start("walker".to_owned(), settings, &running, move || walk::run(&found))?);
        Ok(Self { threads, through, gate: Some(gate) })
    }

    /// Lets the workers count what they hold. From then on nobody waits at the gate.
    pub(crate) fn open_gate(&mut self) {
        self.gate = None;
    }

    /// Waits, at most so long, for the threads to be through; says whether one is still at work.
    pub(crate) fn is_at_work_after(&self, pause: Duration) -> bool {
        self.through.recv_timeout(pause) == Err(RecvTimeoutError::Timeout)
    }

    /// Waits until every thread is gone, and its context with it.
    ///
    /// # Errors
    ///
    /// A thread panicked.
    pub(crate) fn join(mut self) -> Result<(), Failure> {
        self.open_gate();
        let ends: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ends.into_iter().collect::<Result<(), _>>().map_err(|_| Failure::Panicked)
    }
}

/// Starts a thread that finds its settings in its context.
fn start(
    name: String,
    settings: &Settings,
    running: &Sender<Infallible>,
    job: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, Failure> {
    let (settings, running) = (settings.clone(), running.clone());
    let thread = Builder::new().name(name.clone()).spawn(move || {
        set_settings(settings);
        job();
        drop(running);
    });
    thread.map_err(|error| Failure::NotStarted(name, error))
}
