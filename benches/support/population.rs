//! Many contexts at once: each on a thread of its own, which fills it and then waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle, ThreadId},
};

use threadctx::get_thread_ctx;

/// Small, since there are many; none of the threads goes deep.
const STACK: usize = 64 * 1024;

/// Live contexts, until this is dropped.
pub(crate) struct Population {
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Population {
    /// So many contexts, each filled by a call of `fill` on its own thread.
    pub(crate) fn of(size: usize, fill: fn()) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (filled, wait) = mpsc::channel();
        let spawn = |_| {
            let (over, filled) = (Arc::clone(&over), filled.clone());
            let body = move || {
                fill();
                get_thread_ctx();
                filled.send(()).expect("somebody waits");
                wait_until(&over);
            };
            thread::Builder::new().stack_size(STACK).spawn(body).expect("the system has threads left")
        };
        let threads: Vec<_> = (0..size).map(spawn).collect();
        wait.into_iter().take(size).for_each(drop);
        Self { threads, over }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ThreadId> {
        self.threads.iter().map(|thread| thread.thread().id())
    }
}

fn wait_until(over: &AtomicBool) {
    while !over.load(Ordering::Acquire) {
        thread::park();
    }
}

impl Drop for Population {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.threads.iter().for_each(|thread| thread.thread().unpark());
        for thread in self.threads.drain(..) {
            thread.join().expect("it only waits");
        }
    }
}
