//! Has values rendered: by the thread that dumps, or, where the dump has limited patience, by another one that can be left
//! behind.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use serde_json::value::RawValue;

use super::{
    hanging::{self, ValueId},
    picture::Problem,
    shown::{Bounded, Shown},
    small::SmallStr,
};
use crate::{
    current, own_thread, panics, registry,
    slot::Seen,
    sync::{lock_briefly, thread_cells},
};

#[cfg(any(loom, shuttle))]
use crate::sync::LocalCell;

/// A value that was seen. If that is a count, it may be the last one by the time it goes: a panic in the value's drop is
/// contained.
pub(super) struct Held(Option<Seen>);

impl Held {
    pub(super) fn new(value: Seen) -> Self {
        Self(Some(value))
    }

    fn value(&self) -> &Seen {
        self.0.as_ref().expect("it is there until the drop")
    }

    /// Whether its renderer is std's, and so ends: numbers and texts.
    fn renders_without_users_code(&self) -> bool {
        match self.value() {
            Seen::Copied(_) => true,
            Seen::Counted(value) => value.as_any().is::<String>() || value.as_any().is::<Box<str>>(),
        }
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        panics::contain_drop(self.0.take());
    }
}

/// A value to be rendered; nothing where it is not to be touched.
pub(super) enum Subject {
    Untouched,
    Busy,
    /// A thread is inside its renderer already.
    Hanging,
    Value(Held),
}

impl Clone for Subject {
    fn clone(&self) -> Self {
        match self {
            Self::Value(held) => Self::Value(held.clone()),
            Self::Untouched => Self::Untouched,
            Self::Busy => Self::Busy,
            Self::Hanging => Self::Hanging,
        }
    }
}

/// What stands for a value, what is the matter with it, and whether it was cut.
pub(super) struct Rendered {
    pub(super) text: SmallStr,
    pub(super) problem: Option<Problem>,
    pub(super) is_cut: bool,
}

impl Rendered {
    fn nothing() -> Self {
        Self { text: SmallStr::default(), problem: None, is_cut: false }
    }

    fn problem(problem: Problem, text: &str) -> Self {
        Self { text: (&*format!("<{text}>")).into(), problem: Some(problem), is_cut: false }
    }
}

/// Renders the values of one context after the other.
pub(super) enum Renderer {
    Here(Here),
    Apart(Apart),
}

impl Renderer {
    /// With `patience`, no value is waited for longer than that.
    pub(super) fn new(patience: Option<Duration>, most: usize) -> Self {
        match patience {
            None => Self::Here(Here { buffer: Vec::new(), most }),
            Some(patience) => Self::Apart(Apart {
                patience,
                here: Here { buffer: Vec::new(), most },
                hung: 0,
                helper: None,
                subjects: Arc::default(),
                job: 0,
            }),
        }
    }

    /// The next context is the one of these values.
    pub(super) fn begin<'s>(&mut self, subjects: impl Iterator<Item = (ValueId, Shown, &'s Subject)>) {
        if let Self::Apart(apart) = self {
            apart.begin(subjects);
        }
    }

    /// Renders the value of this number, which is `subject`, waiting no longer than `left` where it cannot be interrupted.
    pub(super) fn render(
        &mut self,
        number: usize,
        (shown, subject): (Shown, &Subject),
        left: Duration,
    ) -> Rendered {
        match (self, subject) {
            (_, Subject::Untouched) => Rendered::nothing(),
            (_, Subject::Busy) => Rendered::problem(Problem::Busy, "busy"),
            (_, Subject::Hanging) => does_not_end(),
            (Self::Here(here), Subject::Value(held)) => here.render(shown, held),
            (Self::Apart(apart), Subject::Value(held)) => apart.render(number, (shown, held), left),
        }
    }
}

thread_cells! {
    /// Whether a renderer is running on this thread: one that dumps must not be rendered in its own dump.
    static RENDERING: Cell<bool> = Cell::new(false);
}

/// Renders on the thread that this is on.
pub(super) struct Here {
    buffer: Vec<u8>,
    /// At most so many bytes of a value.
    most: usize,
}

impl Here {
    /// Runs the user's code.
    fn render(&mut self, shown: Shown, value: &Held) -> Rendered {
        let Some(render) = shown.renderer() else {
            return Rendered::nothing();
        };
        if RENDERING.replace(true) {
            return Rendered::problem(Problem::Nested, "busy: this dump was taken while rendering another");
        }
        let mut out = Bounded::new(std::mem::take(&mut self.buffer), self.most);
        let result = panics::catch(|| own_thread::run_users(|| render(value.value().as_any(), &mut out)));
        RENDERING.set(false);
        let is_cut = out.is_cut();
        let rendered = match result {
            Err(message) => Rendered::problem(
                Problem::Panicked,
                &format!("panicked: {}", whole_start(&message, self.most)),
            ),
            Ok(Err(error)) if !is_cut => {
                Rendered::problem(Problem::Failed, &format!("failed: {}", whole_start(&error.0, self.most)))
            }
            Ok(_) => said(shown, out.text(), is_cut),
        };
        self.buffer = out.into_buffer();
        rendered
    }
}

/// At most so many bytes of what a renderer said when it gave up, and of that whole characters.
fn whole_start(text: &str, most: usize) -> &str {
    let most = most.max(64).min(text.len());
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

fn said(shown: Shown, text: &str, is_cut: bool) -> Rendered {
    let text = match shown {
        // A `Serialize` of somebody's may misuse the serializer, so that what it gives is no JSON.
        Shown::Json(_) if !is_cut => match checked_json(text) {
            Ok(json) => json,
            Err(error) => return Rendered::problem(Problem::Failed, &format!("failed: no JSON: {error}")),
        },
        _ => text,
    };
    Rendered { text: text.into(), problem: None, is_cut }
}

fn checked_json(text: &str) -> serde_json::Result<&str> {
    // Counters are what contexts have most of, and need no parser.
    match text.as_bytes() {
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => Ok(text),
        _ => serde_json::from_str(text).map(RawValue::get),
    }
}

fn does_not_end() -> Rendered {
    Rendered::problem(Problem::Hung, "busy: its renderer does not end")
}

/// The values of one context, as a helper shares them with the thread that waits for it.
type Subjects = Arc<Vec<(ValueId, Shown, Subject)>>;

/// Renders on a thread of its own. A renderer that does not end keeps that thread, and the values of its context; the rest
/// goes on with another one.
pub(super) struct Apart {
    patience: Duration,
    /// For values that cannot hang, where there is no helper.
    here: Here,
    hung: usize,
    helper: Option<Helper>,
    subjects: Subjects,
    /// What the helper was last sent, so that results of what it was sent before are known for that.
    job: u64,
}

/// How many threads one dump may leave behind. After that it renders nothing more that could keep one.
const MAX_HUNG: usize = 8;

/// Who wakes so much later than asked for was not let run, and nor were others: a value has its time once more.
const PAUSE: Duration = Duration::from_millis(50);
/// How often that is so for one value at the most.
const MAX_PAUSES: u32 = 3;

impl Apart {
    fn begin<'s>(&mut self, subjects: impl Iterator<Item = (ValueId, Shown, &'s Subject)>) {
        let known = |(value, shown, subject): (ValueId, Shown, &Subject)| {
            let is_hanging = matches!(subject, Subject::Value(_)) && hanging::is_hanging(&value);
            (value, shown, if is_hanging { Subject::Hanging } else { subject.clone() })
        };
        self.subjects = Arc::new(subjects.map(known).collect());
        self.send(0);
    }

    /// Has a helper render the present values from this one on.
    fn send(&mut self, from: usize) {
        let has_work = self.subjects[from.min(self.subjects.len())..]
            .iter()
            .any(|(_, _, subject)| matches!(subject, Subject::Value(_)));
        if !has_work || self.hung >= MAX_HUNG || hanging::are_too_many() {
            return;
        }
        if self.helper.is_none() {
            self.helper = Helper::get();
        }
        self.job = next_job();
        let work = Work { job: self.job, subjects: Arc::clone(&self.subjects), from, most: self.here.most };
        let sent = self.helper.as_ref().map(|helper| helper.work.send(work));
        if !matches!(sent, Some(Ok(()))) {
            self.helper = None;
        }
    }

    fn render(&mut self, number: usize, (shown, held): (Shown, &Held), left: Duration) -> Rendered {
        if matches!(self.subjects[number].2, Subject::Hanging) {
            return does_not_end();
        }
        let Some(helper) = &self.helper else {
            if held.renders_without_users_code() {
                return self.here.render(shown, held);
            }
            return Rendered::problem(Problem::Unrendered, "not rendered: no thread could be had for it");
        };
        let patience = self.patience.min(left);
        let mut again = MAX_PAUSES;
        loop {
            let asked = Instant::now();
            match helper.results.recv_timeout(patience) {
                Ok(done) if (done.job, done.number) == (self.job, number) => return done.rendered,
                // Of a value that the dump had no room for, of this context or of one before it.
                Ok(_) => {}
                // Neither this thread nor the helper ran: the process was stopped, or the machine asleep.
                Err(_) if again > 0 && asked.elapsed() >= patience.saturating_add(PAUSE) => again -= 1,
                Err(_) => break,
            }
        }
        hanging::note(self.subjects[number].0.clone(), Arc::clone(&helper.is_over));
        self.helper = None;
        self.hung += 1;
        self.send(number + 1);
        does_not_end()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(helper) = self.helper.take() {
            helper.keep();
        }
    }
}

/// A thread that renders what it is sent, from some number on.
struct Helper {
    work: mpsc::Sender<Work>,
    results: mpsc::Receiver<Done>,
    /// Whether the thread has come to its end.
    is_over: Arc<AtomicBool>,
    /// In which process it is.
    process: u32,
}

struct Work {
    job: u64,
    subjects: Subjects,
    from: usize,
    /// How many bytes of a value are taken.
    most: usize,
}

struct Done {
    job: u64,
    number: usize,
    rendered: Rendered,
}

fn next_job() -> u64 {
    static JOBS: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number alone matters, and the addition makes it unique.
    JOBS.fetch_add(1, Ordering::Relaxed)
}

/// A helper that no dump uses now. An outlet sees to it that there is one: when a dump is due, the system may have no thread to give.
static IDLE: Mutex<Option<Helper>> = Mutex::new(None);

/// A helper for an outlet that is being opened. Without [`keep`](Self::keep) there is afterwards what was there before.
#[cfg(not(any(loom, shuttle)))]
#[must_use]
pub(crate) struct ReservedHelper {
    helper: Option<Helper>,
    was_idle: bool,
}

#[cfg(not(any(loom, shuttle)))]
impl ReservedHelper {
    /// The idle one, or a new one while there is room.
    pub(crate) fn new() -> io::Result<Self> {
        let idle = Helper::idle();
        let was_idle = idle.is_some();
        let helper = idle.map_or_else(Helper::start, Ok)?;
        Ok(Self { helper: Some(helper), was_idle })
    }

    /// The outlet is open: the helper is there for its dumps.
    pub(crate) fn keep(mut self) {
        self.was_idle = true;
    }
}

#[cfg(not(any(loom, shuttle)))]
impl Drop for ReservedHelper {
    fn drop(&mut self) {
        if let Some(helper) = self.helper.take().filter(|_| self.was_idle) {
            helper.keep();
        }
    }
}

/// Sets its flag when the thread that has it ends.
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        // Release: pairs with the acquire in `hanging`.
        self.0.store(true, Ordering::Release);
    }
}

impl Helper {
    /// The idle one, or a new one; `None` if the system has no thread to give.
    fn get() -> Option<Self> {
        Self::idle().or_else(|| Self::start().ok())
    }

    fn idle() -> Option<Self> {
        let idle = lock_briefly(&IDLE).and_then(|mut idle| idle.take());
        // In a forked child the thread does not exist.
        idle.filter(|helper| helper.process == registry::process())
    }

    /// Keeps it for the next dump.
    fn keep(self) {
        let former = lock_briefly(&IDLE).and_then(|mut idle| idle.replace(self));
        drop(former);
    }

    fn start() -> io::Result<Self> {
        let (work, todo) = mpsc::channel::<Work>();
        let (send, results) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Over(Arc::clone(&is_over));
        let run = move || {
            let _over = over;
            for Work { job, subjects, from, most } in todo {
                let mut here = Here { buffer: Vec::new(), most };
                for (number, (_, shown, subject)) in subjects.iter().enumerate().skip(from) {
                    let Subject::Value(held) = subject else { continue };
                    let rendered = here.render(*shown, held);
                    if send.send(Done { job, number, rendered }).is_err() {
                        // Left behind meanwhile.
                        return;
                    }
                }
                drop(subjects);
                // A context that a renderer made does not outlive what it was made for.
                own_thread::run_users(current::exit_now);
            }
        };
        let process = registry::process();
        own_thread::spawn("threadctx-dump", run)?;
        Ok(Self { work, results, is_over, process })
    }
}
