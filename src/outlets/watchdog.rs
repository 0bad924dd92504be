//! A dump when a value that should move does not.
//!
//! The watchdog's thread looks, works out when the next value could be due, and sleeps until then. A write can only put that
//! off, so it costs whoever writes nothing but the stamp.

use std::{
    collections::VecDeque,
    fmt, io, mem,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use super::{OutletError, own, sink};
use crate::{
    ContextRef, Dump, DumpOptions, Ident, Key, State, clock,
    context::Context,
    contexts,
    dump::{Age, Unmoved, Watched, Who},
    own_thread, panics, registry,
};

/// How often there is a dump at the most, unless the user says.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);
/// How long a single value of a dump may take.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often it looks at a name that is being written; it is not stuck then.
const LOOKS: Option<u32> = Some(1_000);
/// The thread sleeps at least this long, some steps of the coarse clock.
const MIN: Duration = Duration::from_millis(5);

/// A dump when something has not been written for `limit` in some context, with that context marked.
///
/// What is watched is said with [`key`](Watchdog::key) and [`namespace`](Watchdog::namespace); if neither is called, any
/// write counts. Looked at are contexts that have such a value and are running: one that is waiting for work takes its value
/// out, and is left alone. Time in which the watchdog's own thread could not look does not count: the process was stopped then,
/// or the machine asleep or overloaded, or an alarm was on its way out.
///
/// ```
/// use std::time::Duration;
/// use threadctx::{Key, watchdog};
///
/// static STEP: Key<u64> = Key::new("job", "step").debug();
///
/// let guard = watchdog(Duration::from_secs(30)).key(&STEP).to_stderr()?;
/// for step in 0..10 {
///     STEP.set(step); // each within half a minute, or there is a dump
/// }
/// STEP.take(); // from now on this thread may take its time
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub fn watchdog(limit: Duration) -> Watchdog {
    let options = DumpOptions::new().patience(PATIENCE);
    Watchdog { limit, at_most_every: AT_MOST_EVERY, watched: Vec::new(), clash: None, options }
}

/// A watchdog, to be given an outlet: see [`watchdog`].
///
/// ```
/// use std::time::Duration;
///
/// let limit = Duration::from_secs(30);
/// let guard = threadctx::watchdog(limit).namespace("job").to(|alarm| eprintln!("{alarm}"))?;
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[derive(Debug)]
#[must_use = "it does not watch until it has an outlet"]
pub struct Watchdog {
    limit: Duration,
    at_most_every: Duration,
    watched: Vec<Watched>,
    clash: Option<OutletError>,
    options: DumpOptions,
}

impl Watchdog {
    /// Watches this key's value, in each context by itself. From now on its writes are noted with the time, which is
    /// otherwise so only if a dump shows them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// static STEP: threadctx::Key<u64> = threadctx::Key::new("job", "step");
    ///
    /// let guard = threadctx::watchdog(Duration::from_secs(30)).key(&STEP).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn key<T: Send + Sync + 'static>(mut self, key: &'static Key<T>) -> Self {
        match key.watch() {
            Ok(identity) => self.watched.push(Watched::Key(identity)),
            Err(mismatch) => self.clash = Some(OutletError::key(mismatch)),
        }
        self
    }

    /// Watches namespaces that match `pattern`, in which `*` stands for anything (`\*` for a star): in each context the last write to any of
    /// their values counts that a dump shows, be it as a secret.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let guard = threadctx::watchdog(Duration::from_secs(30)).namespace("http*").to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn namespace(mut self, pattern: &str) -> Self {
        self.watched.push(Watched::namespaces(pattern));
        self
    }

    /// Dumps at most once in so much time, also while something stays as it is; once a minute if this is not called.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let watchdog = threadctx::watchdog(Duration::from_secs(30)).namespace("http");
    /// let guard = watchdog.at_most_every(Duration::from_secs(3_600)).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn at_most_every(mut self, interval: Duration) -> Self {
        self.at_most_every = interval;
        self
    }

    /// Takes the dumps with these limits and filters, which have no part in what is watched.
    ///
    /// ```
    /// use std::time::Duration;
    /// use threadctx::DumpOptions;
    ///
    /// let watchdog = threadctx::watchdog(Duration::from_secs(30)).namespace("http");
    /// let guard = watchdog.options(DumpOptions::new().max_contexts(100)).to_stderr()?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn options(mut self, options: DumpOptions) -> Self {
        self.options = options;
        self
    }

    /// Begins to watch; alarms go to standard error as text, whoever may hold std's lock of that. On a terminal the dump is
    /// as wide as that, and coloured, unless the options say otherwise: see [`TextStyle::of`](crate::TextStyle::of).
    ///
    /// # Errors
    ///
    /// A key's identity is used with another type, or the system refuses a thread.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// threadctx::watchdog(Duration::from_secs(30)).namespace("http").to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to_stderr(mut self) -> Result<WatchdogGuard, OutletError> {
        self.options = self.options.or_style(sink::style());
        self.to(|alarm| sink::write_to_stderr(|text| alarm.write_text(text)))
    }

    /// Begins to watch; each alarm goes to a file, in the place of the last one: its dump as JSON if the name ends in
    /// `.json`, else all of it as text.
    ///
    /// The file is the owner's alone (mode 0600), and there is a whole one or none. A symbolic link, or anything else that is
    /// no regular file, is refused, now and at each dump; an error of a dump is told on standard error.
    ///
    /// # Errors
    ///
    /// The path is none for a file, a key's identity is used with another type, or the system refuses a thread.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let file = std::env::temp_dir().join("stuck.txt");
    /// let guard = threadctx::watchdog(Duration::from_secs(30)).namespace("http").to_file(file)?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to_file(self, path: impl AsRef<Path>) -> Result<WatchdogGuard, OutletError> {
        let target = sink::Target::new(path.as_ref())?;
        self.to(move |alarm: Alarm| match target.is_json() {
            true => target.write(|mut out| alarm.dump.write_json(&mut out)),
            false => target.write(|out| write!(out, "{alarm}")),
        })
    }

    /// Begins to watch; alarms are given to `outlet`, on the watchdog's thread. A panic in it is contained and counted in
    /// [`stats`](crate::stats()).
    ///
    /// # Errors
    ///
    /// A key's identity is used with another type, or the system refuses a thread.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let watchdog = threadctx::watchdog(Duration::from_secs(30)).namespace("http");
    /// let guard = watchdog.to(|alarm| println!("{}", alarm.dump().to_json()))?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn to(
        mut self,
        mut outlet: impl FnMut(Alarm) + Send + 'static,
    ) -> Result<WatchdogGuard, OutletError> {
        if let Some(clash) = self.clash.take() {
            return Err(clash);
        }
        if self.watched.is_empty() {
            self.watched.push(Watched::namespaces("*"));
        }
        let rest = Arc::new(Rest { is_over: Mutex::new(false), changed: Condvar::new() });
        let pauses = Pauses::default();
        let watch = Watch { watchdog: self, since: clock::now(), pauses, rest: Arc::clone(&rest) };
        let helper = own::spawn("threadctx-watch", move || {
            watch.run(&mut outlet);
            own_thread::run_users(|| panics::contain_drop(outlet));
        })?;
        helper.keep();
        Ok(WatchdogGuard { rest, process: registry::process() })
    }
}

/// What a watchdog has found.
///
/// Prints as a line that says what is stuck and for how long, and then the dump, in which that is marked.
///
/// ```
/// use std::{sync::mpsc, time::Duration};
///
/// static STEP: threadctx::Key<u64> = threadctx::Key::new("job", "step").debug();
///
/// let (send, alarms) = mpsc::channel();
/// let watchdog = threadctx::watchdog(Duration::from_millis(20)).key(&STEP);
/// let guard = watchdog.to(move |alarm| drop(send.send(alarm)))?;
/// STEP.set(1);
/// let alarm = alarms.recv().unwrap();
/// let (ident, for_how_long) = alarm.stuck().next().unwrap();
/// assert_eq!(ident, threadctx::get_thread_ctx().ident());
/// assert!(for_how_long >= Duration::from_millis(20));
/// assert!(alarm.to_string().contains("!!!"));
/// # Ok::<_, threadctx::OutletError>(())
/// ```
pub struct Alarm {
    stuck: Vec<Stuck>,
    limit: Duration,
    dump: Dump,
}

impl Alarm {
    /// Whose contexts are stuck, and for how long they have not written.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let watchdog = threadctx::watchdog(Duration::from_secs(30)).namespace("http");
    /// let guard = watchdog.to(|alarm| {
    ///     for (ident, for_how_long) in alarm.stuck() {
    ///         eprintln!("{ident}: {for_how_long:?}");
    ///     }
    /// })?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn stuck(&self) -> impl Iterator<Item = (Ident, Duration)> {
        self.stuck.iter().map(|stuck| (stuck.context.ident(), Duration::from_micros(stuck.unmoved.us)))
    }

    /// The dump that was taken, with findings of the code `unmoved`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let watchdog = threadctx::watchdog(Duration::from_secs(30)).namespace("http");
    /// let guard = watchdog.to(|alarm| eprintln!("{}", alarm.dump().to_json()))?;
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn dump(&self) -> &Dump {
        &self.dump
    }

    /// The same as it prints, in the dump's colours.
    fn write_text(&self, out: &mut impl io::Write) -> io::Result<()> {
        write!(out, "{}", Summary(self))?;
        self.dump.write_text(out)
    }
}

/// What comes before the dump.
struct Summary<'a>(&'a Alarm);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = Age(self.0.limit.as_micros().try_into().unwrap_or(u64::MAX));
        for Stuck { context, unmoved } in &self.0.stuck {
            let (who, what, ago) = (Who(context), &unmoved.watched, Age(unmoved.us));
            writeln!(f, "threadctx: {who}: {what} was not written for {ago} (limit {limit}) !!!")?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Summary(self), self.dump)
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("stuck", &self.stuck().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// A context in which something has not moved for too long.
struct Stuck {
    context: ContextRef,
    unmoved: Unmoved,
}

/// The watchdog's thread.
struct Watch {
    watchdog: Watchdog,
    /// When it began to watch.
    since: u64,
    pauses: Pauses,
    rest: Arc<Rest>,
}

/// Times in which this thread was to look and did not: the process was stopped, the machine asleep or overloaded. No other thread
/// could be expected to write then. An alarm is one too, however long its outlet takes: the process may have been stopped in it.
#[derive(Default)]
struct Pauses(VecDeque<Pause>);

struct Pause {
    /// When it was over.
    end: u64,
    length: Duration,
}

impl Pauses {
    /// How many are remembered. Older ones count against a value that has not been written since.
    const MAX: usize = 64;

    /// Notes that what was to take as long as `asked` took until now.
    fn note(&mut self, asked: Duration, took: Duration) {
        let length = took.saturating_sub(asked);
        if length < MIN {
            return;
        }
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(Pause { end: clock::now(), length });
    }

    /// How much of the time since `then` they took.
    fn since(&self, then: u64) -> Duration {
        let part = |pause: &Pause| pause.length.min(Duration::from_nanos(pause.end.saturating_sub(then)));
        self.0.iter().map(part).sum()
    }
}

/// Where the thread sleeps, and is woken when it is over.
struct Rest {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Rest {
    /// Sleeps for so long; false if it is over.
    fn sleep(&self, time: Duration) -> bool {
        let deadline = Instant::now().checked_add(time);
        let mut is_over = crate::sync::lock(&self.is_over);
        while !*is_over {
            let left = deadline.map_or(time, |at| at.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return true;
            }
            is_over = self.changed.wait_timeout(is_over, left).unwrap_or_else(|error| error.into_inner()).0;
        }
        false
    }

    fn end(&self) {
        *crate::sync::lock(&self.is_over) = true;
        self.changed.notify_all();
    }

    fn is_over(&self) -> bool {
        *crate::sync::lock(&self.is_over)
    }
}

impl Watch {
    fn run(mut self, outlet: &mut dyn FnMut(Alarm)) {
        let mut last = None;
        let (mut now, mut measured) = (clock::now(), Instant::now());
        loop {
            let asked = self.step(now, &mut last, outlet).max(MIN);
            if !self.rest.sleep(asked) {
                return;
            }
            // In this order, and with nothing between two measures: the process may be stopped between any two steps of this.
            now = clock::now();
            let before = mem::replace(&mut measured, Instant::now());
            self.pauses.note(asked, measured - before);
        }
    }

    /// Looks, as of `now`, raises the alarm if there is a reason and the last one is long enough ago, and gives the time until the next
    /// look.
    fn step(&self, now: u64, last: &mut Option<Instant>, outlet: &mut dyn FnMut(Alarm)) -> Duration {
        let (stuck, next) = self.look(now);
        if stuck.is_empty() {
            return next;
        }
        let interval = self.watchdog.at_most_every;
        let waits = last.map_or(Duration::ZERO, |last| interval.saturating_sub(last.elapsed()));
        if !waits.is_zero() {
            return next.min(waits);
        }
        *last = Some(Instant::now());
        own::run(|| self.raise(stuck, outlet));
        next.min(interval)
    }

    fn raise(&self, stuck: Vec<Stuck>, outlet: &mut dyn FnMut(Alarm)) {
        let unmoved = stuck.iter().map(|stuck| (stuck.context.ident(), stuck.unmoved.clone())).collect();
        let dump = self.watchdog.options.clone().unmoved(unmoved).take();
        if !self.rest.is_over() {
            outlet(Alarm { stuck, limit: self.watchdog.limit, dump });
        }
    }

    /// What is stuck at this time, and how long it is until something else can be.
    fn look(&self, now: u64) -> (Vec<Stuck>, Duration) {
        let mut stuck = Vec::new();
        let mut next = self.watchdog.limit;
        for context in contexts() {
            for watched in &self.watchdog.watched {
                let Some(last) = self.last_write(&context, watched) else { continue };
                let ago = Duration::from_nanos(now.saturating_sub(last));
                let running = ago.saturating_sub(self.pauses.since(last));
                match self.watchdog.limit.checked_sub(running) {
                    Some(left) if !left.is_zero() => next = next.min(left),
                    _ => stuck.push(Stuck::new(&context, watched, ago)),
                }
            }
        }
        // Those that are in their exit need not move any more.
        stuck.retain(|stuck| stuck.context.state() == State::Running);
        (stuck, next)
    }

    /// When what is watched was last written, if it is there. Of what was written before its writes were noted it is known
    /// only that it has been there for as long as it was watched.
    fn last_write(&self, context: &ContextRef, watched: &Watched) -> Option<u64> {
        let inner = context.readable()?;
        let unknown = || self.since.max(inner.registered());
        let last = writes(&inner, watched).max()?;
        match watched {
            Watched::Key(_) if last == 0 => Some(unknown()),
            // Nothing in it is shown.
            Watched::Namespaces(_) if last == 0 => None,
            _ => Some(last),
        }
    }
}

impl Stuck {
    fn new(context: &ContextRef, watched: &Watched, ago: Duration) -> Self {
        let us = ago.as_micros().try_into().unwrap_or(u64::MAX);
        Self { context: context.clone(), unmoved: Unmoved { watched: watched.clone(), us } }
    }
}

/// When each value that is watched was last written, 0 where that is not noted.
fn writes<'a>(context: &'a Context, watched: &'a Watched) -> impl Iterator<Item = u64> + 'a {
    // Names first: while the owner gives one over to its key, it is found in one place or the other.
    let names = context.names().into_iter().flat_map(|names| names.filled());
    let names = names.filter(|(_, slot)| {
        let is_watched = |title: &crate::title::Title| watched.is(&title.namespace, &title.name);
        slot.look(LOOKS, |named| is_watched(&named.about.title)).ok().flatten() == Some(true)
    });
    let names = names.map(|(_, slot)| slot.history().0);
    let keys = context.filled_keys().filter(|slot| watched.is(slot.key().namespace(), slot.key().name()));
    names.chain(keys.map(|slot| slot.raw().history().0))
}

/// Keeps a watchdog watching. Dropping it ends that: its thread is woken and goes, and no further alarm begins; an outlet
/// that is being called at that moment is not waited for.
///
/// A forked child has no such thread: nothing is watched there.
///
/// ```
/// use std::time::Duration;
///
/// let guard = threadctx::watchdog(Duration::from_secs(30)).namespace("http").to_stderr()?;
/// drop(guard); // nothing is watched any more
/// # Ok::<_, threadctx::OutletError>(())
/// ```
#[must_use = "dropping the guard ends the watch; `.forever()` keeps it"]
pub struct WatchdogGuard {
    rest: Arc<Rest>,
    /// In which process its thread is.
    process: u32,
}

impl WatchdogGuard {
    /// Keeps watching for the life of the process.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// threadctx::watchdog(Duration::from_secs(30)).namespace("http").to_stderr()?.forever();
    /// # Ok::<_, threadctx::OutletError>(())
    /// ```
    pub fn forever(self) {
        mem::forget(self);
    }
}

impl Drop for WatchdogGuard {
    fn drop(&mut self) {
        // A forked child has no thread to wake, and its parent's may have been in the lock.
        if self.process == registry::process() {
            self.rest.end();
        }
    }
}

impl fmt::Debug for WatchdogGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchdogGuard").finish_non_exhaustive()
    }
}
