//! The classic of the question boards: a job is made here and runs there, and what its constructor put into a thread-local
//! is here. First shown, then done right: with `spawn` for a thread, and with `Snapshot::wrap` for somebody else's pool.
//!
//! ```text
//! cargo run --example executor
//! ```

use std::{sync::mpsc::channel, thread};

use threadctx::{Key, Snapshot};

/// The order that the current thread works on. It travels where it is taken along on purpose.
static ORDER: Key<u32> = Key::new("shop", "order").debug().inherit();

/// What works on an order, and finds out from the context which.
struct Job;

impl Job {
    /// Where the mistake is: a constructor runs on the thread that constructs.
    fn new(order: u32) -> Self {
        ORDER.set(order);
        Self
    }

    /// Runs on the thread that works.
    fn run(self) -> Option<u32> {
        ORDER.cloned()
    }
}

/// A pool of one thread that knows nothing of contexts, as an executor of some library's.
mod executor {
    use std::{
        sync::mpsc::{Receiver, Sender, channel},
        thread::{Builder, JoinHandle},
    };

    type Work = Box<dyn FnOnce() + Send>;

    pub(crate) struct Executor {
        queue: Sender<Work>,
        thread: JoinHandle<()>,
    }

    impl Executor {
        pub(crate) fn start() -> Self {
            let (queue, work) = channel::<Work>();
            let named = Builder::new().name("executor".into());
            let thread = named.spawn(move || work.into_iter().for_each(|work| work()));
            Self { queue, thread: thread.expect("a thread can be had") }
        }

        pub(crate) fn submit<R: Send + 'static>(
            &self,
            work: impl FnOnce() -> R + Send + 'static,
        ) -> Receiver<R> {
            let (send, result) = channel();
            // The send fails only if nobody waits any more.
            let work = move || drop(send.send(work()));
            self.queue.send(Box::new(work)).expect("the thread takes work until the executor ends");
            result
        }

        pub(crate) fn end(self) {
            drop(self.queue);
            self.thread.join().expect("no work panics");
        }
    }
}

use executor::Executor;

fn main() {
    the_mistake();
    the_mistake_with_an_executor();
    right_with_a_thread();
    right_with_an_executor();
}

fn the_mistake() {
    let job = Job::new(7);
    let found = thread::spawn(|| job.run()).join().expect("a read does not panic");
    assert_eq!(found, None, "the worker has no order");
    assert_eq!(ORDER.take().as_deref(), Some(&7), "the thread that made the job has it");
    println!("set in the constructor: the worker finds {found:?}, the maker is left with 7");
}

/// The executor's thread outlives its jobs, and so does what one of them puts into the thread's context.
fn the_mistake_with_an_executor() {
    let executor = Executor::start();
    let first = executor.submit(|| ORDER.set(6));
    let job = Job::new(7);
    let found = executor.submit(|| job.run()).recv().expect("the work runs");
    assert!(first.recv().is_ok());
    assert_eq!((found, ORDER.take().as_deref()), (Some(6), Some(&7)));
    println!("with an executor: the worker finds {found:?}, which the job before left");
    executor.end();
}

/// The value is set for as long as it takes to start the thread, and goes along.
fn right_with_a_thread() {
    let worker =
        ORDER.scope(7, || threadctx::spawn(|| (Job.run(), threadctx::get_thread_ctx().handle().parent())));
    let (found, parent) = worker.join().expect("a read does not panic");
    assert_eq!(found, Some(7));
    assert_eq!(parent, Some(thread::current().id().into()));
    assert_eq!(ORDER.get(), None, "here it was for a while only");
    println!("spawned in its scope: the worker finds {found:?}");
}

/// The values are captured where the work is handed in, and are there while it runs. The executor's thread keeps nothing.
fn right_with_an_executor() {
    let executor = Executor::start();
    let submit = |order| ORDER.scope(order, || executor.submit(Snapshot::capture().wrap(|| Job.run())));
    let results = [1, 2, 3].map(submit);
    let bare = executor.submit(|| Job.run());
    let found = results.map(|result| result.recv().expect("the work runs"));
    assert_eq!(found, [Some(1), Some(2), Some(3)]);
    assert_eq!(bare.recv().expect("the work runs"), None, "nothing stayed on the thread");
    println!("wrapped: the executor finds {found:?}, and nothing after that");

    show(&executor);
    executor.end();
    assert!(ORDER.iter().next().is_none());
}

/// In the middle of it everybody can see what the executor works on.
fn show(executor: &Executor) {
    let ((ready, wait), (go, end)) = (channel(), channel::<()>());
    let result = ORDER.scope(4, || {
        executor.submit(Snapshot::capture().wrap(move || {
            ready.send(()).expect("somebody waits for this");
            end.recv().expect_err("nothing comes but the end");
            Job.run()
        }))
    });
    wait.recv().expect("the work starts");
    let dump = threadctx::dump().to_string();
    assert!(dump.contains("shop.order = 4"));
    println!("\n{dump}");
    drop(go);
    assert_eq!(result.recv().expect("the work ends"), Some(4));
}
