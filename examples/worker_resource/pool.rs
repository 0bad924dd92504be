//! A pool like any other: it knows nothing of databases.

use std::{
    any::type_name,
    sync::{Arc, Barrier},
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

type Job = Box<dyn FnOnce() + Send>;

/// A job's result, to wait for.
pub(crate) type Pending<R> = Receiver<R>;

pub(crate) struct Pool {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(crate) fn start(workers: usize) -> Self {
        let (jobs, queue) = unbounded::<Job>();
        let start = |number| {
            let queue = queue.clone();
            let named = Builder::new().name(format!("worker-{number}"));
            named.spawn(move || queue.iter().for_each(|job| job())).expect("a few threads can be had")
        };
        Self { threads: (1..=workers).map(start).collect(), jobs }
    }

    pub(crate) fn run<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Pending<R> {
        let (send, result) = bounded(1);
        // The sends fail only if nobody waits any more.
        let job = move || drop(send.send(job()));
        self.jobs.send(Box::new(job)).expect("the workers take jobs until the pool ends");
        result
    }

    /// One job for each worker: none is through before all are at theirs.
    pub(crate) fn run_on_each<R, J>(&self, mut job_of: impl FnMut(usize) -> J) -> Vec<Pending<R>>
    where
        R: Send + 'static,
        J: FnOnce() -> R + Send + 'static,
    {
        let together = Arc::new(Barrier::new(self.threads.len()));
        let each = (0..self.threads.len()).map(|worker| {
            let (together, job) = (Arc::clone(&together), job_of(worker));
            self.run(move || {
                together.wait();
                job()
            })
        });
        each.collect()
    }

    /// Lets the workers finish what there is, and waits for their exits.
    pub(crate) fn join(self) {
        drop(self.jobs);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no job panics"));
    }
}

pub(crate) fn result_of<R>(pending: &Pending<R>) -> R {
    pending.recv().unwrap_or_else(|_| panic!("the job that was to give a {} panicked", type_name::<R>()))
}
