//! What Python needs gevent's monkey patch for: a thousand tasks on two threads, each with a value of its own that is still
//! there after a wait. First with `thread_local!`, where it is not; then the same with `in_context`.
//!
//! ```text
//! cargo run --example green_threads
//! ```

use std::{cell::Cell, error::Error, io, sync::Arc, thread};

use threadctx::{FutureExt, Key};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Barrier,
    task,
};

const TASKS: usize = 1000;
const THREADS: usize = 2;

/// How often each task gives way to the others before it looks again.
const WAITS: usize = 10;

thread_local!(static OF_THREAD: Cell<Option<usize>> = const { Cell::new(None) });

static OF_TASK: Key<usize> = Key::new("task", "number").debug();

/// What a task found when it looked again.
struct Outcome {
    found_its_own: bool,
    changed_threads: bool,
}

/// Where all tasks and the main thread meet: each task has set its value and none has looked again.
#[derive(Clone)]
struct Middle {
    all_here: Arc<Barrier>,
    go_on: Arc<Barrier>,
}

impl Middle {
    fn new() -> Self {
        let barrier = || Arc::new(Barrier::new(TASKS + 1));
        Self { all_here: barrier(), go_on: barrier() }
    }

    async fn pass(&self) {
        self.all_here.wait().await;
        self.go_on.wait().await;
        for _ in 0..WAITS {
            task::yield_now().await;
        }
    }
}

async fn with_a_thread_local(number: usize, middle: Middle) -> Outcome {
    OF_THREAD.set(Some(number));
    let thread = thread::current().id();
    middle.pass().await;
    let found_its_own = OF_THREAD.get() == Some(number);
    Outcome { found_its_own, changed_threads: thread::current().id() != thread }
}

async fn with_a_context(number: usize, middle: Middle) -> Outcome {
    OF_TASK.set(number);
    let thread = thread::current().id();
    middle.pass().await;
    let found_its_own = OF_TASK.cloned() == Some(number);
    Outcome { found_its_own, changed_threads: thread::current().id() != thread }
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(THREADS).build()?;

    let (own, changed) = run(&runtime, with_a_thread_local, || ())?;
    println!(
        "thread_local!: {own} of {TASKS} tasks found their own value again; {changed} had changed threads"
    );
    assert!(own <= THREADS, "each thread has room for one value");

    let (own, changed) =
        run(&runtime, |number, middle| with_a_context(number, middle).in_context(), look_in)?;
    println!("in_context: {own} of {TASKS} tasks found their own value again; {changed} had changed threads");
    assert_eq!(own, TASKS);
    assert_eq!(OF_TASK.iter().count(), 0, "a task that is done leaves nothing");
    Ok(())
}

/// Runs all tasks, calls `look_in` in the middle of it, and counts the outcomes.
fn run<F>(runtime: &Runtime, task: impl Fn(usize, Middle) -> F, look_in: fn()) -> io::Result<(usize, usize)>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    runtime.block_on(async {
        let middle = Middle::new();
        let tasks: Vec<_> = (0..TASKS).map(|number| task::spawn(task(number, middle.clone()))).collect();
        middle.all_here.wait().await;
        look_in();
        middle.go_on.wait().await;
        let (mut own, mut changed) = (0, 0);
        for task in tasks {
            let outcome = task.await?;
            own += usize::from(outcome.found_its_own);
            changed += usize::from(outcome.changed_threads);
        }
        Ok((own, changed))
    })
}

/// From outside, all tasks are there at once, each with its value.
fn look_in() {
    let mut numbers: Vec<_> = OF_TASK.iter().map(|(_, number)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..TASKS));
    let dump = threadctx::DumpOptions::new().max_contexts(3).take();
    println!("\n{dump}");
}
