//! A thread that does what it is told, one job after the other, so that a test can choose who does what when.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::mpsc::{self, Sender},
    thread::{self, JoinHandle, ThreadId},
};

use threadctx::{ContextRef, get_thread_ctx};

use super::patience::minute;

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    pub(crate) fn start() -> Self {
        Self::with(thread::Builder::new())
    }

    pub(crate) fn with(builder: thread::Builder) -> Self {
        let (jobs, todo) = mpsc::channel::<Job>();
        let thread = builder.spawn(move || todo.into_iter().for_each(|job| job())).unwrap();
        Self { jobs: Some(jobs), thread: Some(thread) }
    }

    /// Has the thread do `job`, waits for it, and passes on its result or its panic.
    pub(crate) fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, wait) = mpsc::channel::<Result<R, Box<dyn Any + Send>>>();
        let job = move || drop(done.send(panic::catch_unwind(AssertUnwindSafe(job))));
        self.jobs.as_ref().unwrap().send(Box::new(job)).unwrap();
        let result = wait.recv_timeout(minute()).expect("the job is over after a minute");
        result.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    pub(crate) fn id(&self) -> ThreadId {
        self.thread.as_ref().unwrap().thread().id()
    }

    /// A handle to the thread's context, which is registered by this.
    pub(crate) fn handle(&self) -> ContextRef {
        self.run(|| get_thread_ctx().handle())
    }

    /// Lets the thread end and waits until its exit is over.
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}
