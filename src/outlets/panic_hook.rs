//! A panic hook that says what the panicking thread was at, and the others in brief.
//!
//! A panic inside a panic hook aborts the process, and what renders values may panic. So a thread of the hook's own renders
//! and writes, while the panicking thread waits, for so long and no longer: a renderer may be waiting in its turn for a lock
//! that the panicking thread holds. If the rendering does not come to an end in time, the panicking thread itself writes
//! what needs nobody's code, a line for each context, and goes on.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    io::{self, Write},
    mem,
    panic::PanicHookInfo,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    OutletError,
    hook_chain::{self, Reporter},
    own, sink,
};
use crate::{
    ContextRef, DumpOptions, contexts, current,
    dump::{Brief, Who, in_full},
    os::{self, Stderr},
    own_thread, panics, registry, stats,
};

/// The usual limits: a panic has less time than somebody who asks for a dump.
const CONTEXTS: usize = 1_000;
const BYTES: usize = 256 << 10;
const BUDGET: Duration = Duration::from_millis(500);
/// How long a single value may take.
const PATIENCE: Duration = Duration::from_millis(100);
/// What the panicking thread waits beyond the budget, which a renderer may overrun.
const GRACE: Duration = Duration::from_millis(500);
/// What the panicking thread keeps of its time for lines without values, should the report not come in time.
const BARE: Duration = Duration::from_millis(100);
/// What standard error is waited for at the most, whatever the budget is.
const LONGEST: Duration = Duration::from_secs(86_400);
/// So many bytes of the others' lines are written at once.
const PIECE: usize = 16 << 10;

/// Has each panic print what the panicking thread was at: its context first, with its values, then the others in a line
/// each. Comes before the hook that was there, which is called as ever.
///
/// It works wherever a panic comes from: code that runs inside a call of the crate, exit hooks, destructors of
/// thread-locals. It does not panic, and holds the panicking thread for at most a second, also where standard error takes
/// nothing: values are rendered on a thread of the hook's own, which waits for it in the meantime.
///
/// ```
/// static STEP: threadctx::Key<u32> = threadctx::Key::new("job", "step").debug();
///
/// threadctx::panic_hook().to_stderr()?.forever();
/// let worker = std::thread::Builder::new().name("worker".into()).spawn(|| {
///     STEP.set(3);
///     panic!("the disk is full");
/// });
/// // threadctx: panic in "worker"  ThreadId(2)  tid 4251  at src/main.rs:7:5
/// //
/// // "worker"  ThreadId(2)  tid 4251  sleeping, 0ms CPU  last write 0ms ago
/// //     job.step = 3  0ms
/// worker.unwrap().join().unwrap_err();
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub fn panic_hook() -> PanicHook {
    PanicHook {
        options: DumpOptions::new().max_contexts(CONTEXTS).max_bytes(BYTES).budget(BUDGET).patience(PATIENCE),
        budget: BUDGET,
    }
}

/// A panic hook, to be given an outlet: see [`panic_hook`].
///
/// ```
/// use std::time::Duration;
///
/// let hook = threadctx::panic_hook().max_contexts(20).max_value_bytes(100).budget(Duration::from_millis(50));
/// let guard = hook.to_stderr()?;
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is not installed until it has an outlet"]
pub struct PanicHook {
    options: DumpOptions,
    budget: Duration,
}

impl PanicHook {
    /// Lines for at most so many other contexts, the oldest ones; 1,000 if this is not called.
    ///
    /// ```
    /// let guard = threadctx::panic_hook().max_contexts(20).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn max_contexts(mut self, contexts: usize) -> Self {
        self.options = self.options.max_contexts(contexts);
        self
    }

    /// At most so many bytes of a value; 1 KiB if this is not called.
    ///
    /// ```
    /// let guard = threadctx::panic_hook().max_value_bytes(100).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.options = self.options.max_value_bytes(bytes);
        self
    }

    /// At most so many bytes for a report; 256 KiB if this is not called. What does not fit is left out and counted; the line that
    /// says so comes on top.
    ///
    /// ```
    /// let guard = threadctx::panic_hook().max_bytes(16 * 1024).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.options = self.options.max_bytes(bytes);
        self
    }

    /// At most so much time for all of it; half a second if this is not called. The panicking thread waits at most half a
    /// second longer.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let guard = threadctx::panic_hook().budget(Duration::from_millis(50)).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn budget(mut self, budget: Duration) -> Self {
        self.options = self.options.budget(budget);
        self.budget = budget;
        self
    }

    /// Installs the hook; it prints to standard error, whoever may hold std's lock of that, as
    /// [suits](crate::TextStyle::of) that at this moment.
    ///
    /// # Errors
    ///
    /// This thread is panicking, or the system refuses a thread.
    ///
    /// ```
    /// threadctx::panic_hook().to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to_stderr(mut self) -> Result<PanicHookGuard, OutletError> {
        self.options = self.options.or_style(sink::style());
        // A deadline has to be told from it.
        let patience = self.patience().min(LONGEST);
        self.start(move |text| Stderr::until(Instant::now() + patience).write_all(text))
    }

    /// Installs the hook; it prints to `writer`, on the hook's own thread. An error of the writer's is counted in
    /// [`stats`](crate::stats()), and a panic in it is contained and counted.
    ///
    /// Where a value's renderer does not come back, and in a forked child, which does not have that thread, lines without
    /// values go to standard error instead.
    ///
    /// # Errors
    ///
    /// This thread is panicking, or the system refuses a thread.
    ///
    /// ```
    /// let log = std::fs::File::create(std::env::temp_dir().join("panics.log")).unwrap();
    /// let guard = threadctx::panic_hook().to(log)?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to(self, mut writer: impl Write + Send + 'static) -> Result<PanicHookGuard, OutletError> {
        self.start(move |text| writer.write_all(text).and_then(|()| writer.flush()))
    }

    /// What the panicking thread waits for the report.
    fn patience(&self) -> Duration {
        self.budget.saturating_add(GRACE - BARE)
    }

    fn start(
        self,
        write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    ) -> Result<PanicHookGuard, OutletError> {
        if thread::panicking() {
            return Err(OutletError::panicking());
        }
        let patience = self.patience();
        let Self { options, budget } = self;
        os::reserve_terminal();
        let desk = Arc::new(Desk {
            patience,
            limits: Limits { contexts: options.most_contexts(), bytes: options.most_bytes() },
            is_open: AtomicBool::new(true),
            process: registry::process(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let served = Arc::clone(&desk);
        own::spawn("threadctx-panic", move || serve(&served, &options, budget, write))?.keep();
        hook_chain::add(Arc::<Desk>::clone(&desk));
        Ok(PanicHookGuard { desk })
    }
}

/// Where panicking threads meet the thread that prints.
struct Desk {
    patience: Duration,
    limits: Limits,
    is_open: AtomicBool,
    /// In which process the printing thread is.
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

/// How much of a report is for other contexts' lines.
#[derive(Clone, Copy)]
struct Limits {
    contexts: usize,
    bytes: usize,
}

#[derive(Default)]
struct State {
    is_closed: bool,
    waiting: VecDeque<(u64, Panicked)>,
    /// The number of the last one that came, and of the last one that was printed.
    last: u64,
    done: u64,
    /// What the thread is doing, and since when.
    at: Option<(Stage, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// In the user's renderers.
    Rendering,
    /// What is to be said is on its way out.
    Writing,
}

/// A panic, as far as it is known without running anything.
#[derive(Clone)]
struct Panicked {
    place: String,
    /// What the thread was at: a task's context before the thread's own.
    contexts: Vec<ContextRef>,
    /// The system's number of the thread, if it has no context.
    number: u64,
}

impl Panicked {
    fn here(info: &PanicHookInfo<'_>) -> Self {
        Self {
            place: info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string),
            contexts: current::contexts_here().into_iter().map(ContextRef::new).collect(),
            number: os::thread_number(),
        }
    }

    /// The other contexts, oldest first.
    fn others(&self) -> Vec<ContextRef> {
        let mut others = contexts();
        others.retain(|context| {
            self.contexts.iter().all(|own| own.context().serial() != context.context().serial())
        });
        others
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "threadctx: panic in ")?;
        match self.contexts.last() {
            Some(context) => write!(f, "{}", Who(context))?,
            None if self.number != 0 => write!(f, "a thread without context  tid {}", self.number)?,
            None => write!(f, "a thread without context")?,
        }
        writeln!(f, "  at {}", self.place)
    }
}

/// The panicking thread's side. It runs inside a panic hook: nothing here may panic, wait without a bound, or run the user's
/// code.
impl Reporter for Desk {
    fn report(&self, info: &PanicHookInfo<'_>) {
        // A renderer's panic on the thread that prints is part of what is printed.
        if !self.is_open() || own_thread::is_ours() {
            return;
        }
        let panicked = Panicked::here(info);
        let deadline = Instant::now().checked_add(self.patience);
        let is_printed = self.process == registry::process() && self.hand_over(panicked.clone(), deadline);
        if !is_printed {
            write_bare(&panicked, self.limits);
        }
    }

    fn is_open(&self) -> bool {
        // Relaxed: a panic at the very moment of the guard's drop may be printed or not.
        self.is_open.load(Ordering::Relaxed)
    }
}

impl Desk {
    /// Has the other thread print it, and waits until the deadline; false if it does not get to it.
    fn hand_over(&self, panicked: Panicked, deadline: Option<Instant>) -> bool {
        let Some(mut state) = own::lock_within(&self.state, own::LOCK) else { return false };
        if state.is_closed || state.is_stuck(self.patience) {
            return false;
        }
        state.last += 1;
        let number = state.last;
        state.waiting.push_back((number, panicked));
        self.changed.notify_all();
        while state.done < number {
            let left = deadline.map_or(self.patience, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return state.give_up(number);
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(|error| error.into_inner()).0;
        }
        true
    }
}

impl State {
    /// Whether the thread that prints has been in the user's code, or in a write, for longer than anybody waits.
    fn is_stuck(&self, patience: Duration) -> bool {
        self.at.is_some_and(|(_, since)| since.elapsed() >= patience)
    }

    /// Withdraws what was not printed in time; says whether it is on its way out all the same.
    fn give_up(&mut self, number: u64) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(waiting, _)| *waiting != number);
        let was_begun = self.waiting.len() == before;
        was_begun && self.at.is_some_and(|(stage, _)| stage == Stage::Writing)
    }
}

/// Writes what can be said without the user's code, as far as time goes.
fn write_bare(panicked: &Panicked, limits: Limits) {
    let deadline = Instant::now() + BARE;
    let mut text = format!("{panicked}\n");
    // A `String` takes everything: nothing here can fail.
    for context in &panicked.contexts {
        let _ = writeln!(text, "{}", Brief(context));
    }
    let _ = writeln!(text, "    (values omitted: no thread rendered them in time)");
    // Half of the time is for the lines, and the rest for writing them.
    let limits = limits.after(&text);
    write_others(panicked, limits, Some(deadline - BARE / 2), &mut |line| text.push_str(line));
    if Stderr::until(deadline).write_all(text.as_bytes()).is_err() {
        stats::count(|counters| &counters.reports_cut);
    }
}

impl Limits {
    /// What is left of them after the text so far.
    fn after(self, text: &str) -> Self {
        Self { bytes: self.bytes.saturating_sub(text.len()), ..self }
    }
}

/// A line for each other context, as far as the limits go.
fn write_others(panicked: &Panicked, limits: Limits, deadline: Option<Instant>, write: &mut dyn FnMut(&str)) {
    let others = panicked.others();
    if others.is_empty() {
        return;
    }
    write(&format!("\n{} others:\n", others.len()));
    let is_late = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    let lines = others.iter().take(limits.contexts).take_while(|_| !is_late());
    let mut left = limits.bytes;
    let fits = |line: &String| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    };
    let lines = lines.map(|context| format!("{}\n", Brief(context))).take_while(fits);
    let written = lines.map(|line| write(&line)).count();
    if written < others.len() {
        write(&format!("and {} more, left out\n", others.len() - written));
    }
}

/// The printing thread's side.
fn serve(
    desk: &Desk,
    options: &DumpOptions,
    budget: Duration,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) {
    while let Some((number, panicked)) = desk.next() {
        own::run(|| print(desk, &panicked, options, budget, &mut write));
        let mut state = desk.lock();
        state.done = number;
        state.at = None;
        desk.changed.notify_all();
    }
    own_thread::run_users(|| panics::contain_drop(write));
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        crate::sync::lock(&self.state)
    }

    fn next(&self) -> Option<(u64, Panicked)> {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.waiting.pop_front() {
                state.at = Some((Stage::Rendering, Instant::now()));
                return Some(next);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(|error| error.into_inner());
        }
    }

    fn begin_writing(&self) {
        if let Some((stage, _)) = &mut self.lock().at {
            *stage = Stage::Writing;
        }
    }
}

fn print(
    desk: &Desk,
    panicked: &Panicked,
    options: &DumpOptions,
    budget: Duration,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) {
    let deadline = Instant::now().checked_add(budget);
    let mut text = format!("{panicked}\n");
    panicked.contexts.iter().for_each(|context| text.push_str(&in_full(context, options)));
    desk.begin_writing();
    let mut result = Ok(());
    write_others(panicked, desk.limits.after(&text), deadline, &mut |line| {
        text.push_str(line);
        if text.len() >= PIECE && result.is_ok() {
            result = write(mem::take(&mut text).as_bytes());
        }
    });
    if result.and_then(|()| write(text.as_bytes())).is_err() {
        stats::count(|counters| &counters.reports_cut);
    }
}

/// Keeps a panic hook at work. Dropping it ends that; a panic that is being printed at that moment is.
///
/// The hook stays in std's chain and only passes panics on, since another one may have been put before it.
///
/// ```
/// let guard = threadctx::panic_hook().to_stderr()?;
/// drop(guard); // panics from now on are reported as before
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[must_use = "dropping the guard ends the hook's work; `.forever()` keeps it"]
pub struct PanicHookGuard {
    desk: Arc<Desk>,
}

impl PanicHookGuard {
    /// Keeps the hook at work for the life of the process.
    ///
    /// ```
    /// threadctx::panic_hook().to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn forever(self) {
        mem::forget(self);
    }
}

impl Drop for PanicHookGuard {
    fn drop(&mut self) {
        self.desk.is_open.store(false, Ordering::Relaxed);
        // A forked child has no thread to end, and one of its parent's may have been in the lock.
        if self.desk.process == registry::process() {
            self.desk.lock().is_closed = true;
            self.desk.changed.notify_all();
        }
    }
}

impl fmt::Debug for PanicHookGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicHookGuard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_given_up_comes_if_it_is_on_its_way_out_and_not_if_it_waits_or_renders() {
        let panicked = || Panicked { place: String::new(), contexts: Vec::new(), number: 0 };
        let now = Instant::now();
        for (at, waiting, comes) in [
            (Some((Stage::Writing, now)), vec![6], true),
            (Some((Stage::Rendering, now)), vec![6], false),
            (Some((Stage::Writing, now)), vec![6, 7], false),
            (None, vec![], false),
        ] {
            let waiting = waiting.into_iter().map(|number| (number, panicked())).collect();
            let mut state = State { waiting, last: 7, at, ..State::default() };
            assert_eq!(state.give_up(7), comes, "{at:?}");
            assert!(state.waiting.iter().all(|(number, _)| *number == 6), "it is withdrawn, and no other");
        }
    }

    #[test]
    fn a_thread_without_a_context_has_its_number_if_the_system_tells_it() {
        for (number, expected) in
            [(0, "a thread without context  at"), (7, "a thread without context  tid 7  at")]
        {
            let text = Panicked { place: "a.rs:1".to_owned(), contexts: Vec::new(), number }.to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
