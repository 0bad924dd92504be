//! Has values rendered: by the thread that dumps, or, where the dump has limited patience, by another one that can be left
//! behind.

use std::{
    cell::Cell,
    sync::{Arc, mpsc},
    time::Duration,
};

use serde_json::value::RawValue;

use super::{
    picture::Problem,
    shown::{Bounded, Shown},
    small::SmallStr,
};
use crate::{own_thread, panics, slot::Seen, sync::thread_cells};

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
    Value(Held),
}

impl Clone for Subject {
    fn clone(&self) -> Self {
        match self {
            Self::Value(held) => Self::Value(held.clone()),
            Self::Untouched => Self::Untouched,
            Self::Busy => Self::Busy,
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
            Some(patience) => {
                Self::Apart(Apart { patience, most, hung: 0, helper: None, subjects: Arc::default() })
            }
        }
    }

    /// The next context is the one of these values.
    pub(super) fn begin<'s>(&mut self, subjects: impl Iterator<Item = (Shown, &'s Subject)>) {
        if let Self::Apart(apart) = self {
            apart.begin(subjects.map(|(shown, subject)| (shown, subject.clone())).collect());
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
            (Self::Here(here), Subject::Value(held)) => here.render(shown, held),
            (Self::Apart(apart), Subject::Value(_)) => apart.render(number, left),
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

/// The values of one context, as a helper shares them with who waits for it.
type Subjects = Arc<Vec<(Shown, Subject)>>;

/// Renders on a thread of its own. A renderer that does not end keeps that thread, and the values of its context; the rest
/// goes on with another one.
pub(super) struct Apart {
    patience: Duration,
    most: usize,
    hung: usize,
    helper: Option<Helper>,
    subjects: Subjects,
}

/// A thread that renders what it is sent, from some number on.
struct Helper {
    work: mpsc::Sender<(Subjects, usize)>,
    results: mpsc::Receiver<(usize, Rendered)>,
}

/// So many threads may be left behind by one dump. After that it renders nothing more.
const MOST_HUNG: usize = 8;

impl Apart {
    fn begin(&mut self, subjects: Vec<(Shown, Subject)>) {
        self.subjects = Arc::new(subjects);
        self.send(0);
    }

    /// Has a helper render the present values from this one on.
    fn send(&mut self, from: usize) {
        let has_work = self.subjects[from.min(self.subjects.len())..]
            .iter()
            .any(|(_, subject)| matches!(subject, Subject::Value(_)));
        if !has_work || self.hung >= MOST_HUNG {
            return;
        }
        if self.helper.is_none() {
            self.helper = Helper::start(self.most);
        }
        let sent = self.helper.as_ref().map(|helper| helper.work.send((Arc::clone(&self.subjects), from)));
        if !matches!(sent, Some(Ok(()))) {
            self.helper = None;
        }
    }

    fn render(&mut self, number: usize, left: Duration) -> Rendered {
        let Some(helper) = &self.helper else {
            return Rendered::problem(Problem::Hung, "busy: no thread to render it on");
        };
        let patience = self.patience.min(left);
        loop {
            match helper.results.recv_timeout(patience) {
                Ok((done, rendered)) if done == number => return rendered,
                // Of a value that the dump had no room for.
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.helper = None;
        self.hung += 1;
        self.send(number + 1);
        Rendered::problem(Problem::Hung, "busy: its renderer does not end")
    }
}

impl Helper {
    /// None if the system has no thread to give.
    fn start(most: usize) -> Option<Self> {
        let (work, todo) = mpsc::channel::<(Subjects, usize)>();
        let (send, results) = mpsc::channel();
        let run = move || {
            let mut here = Here { buffer: Vec::new(), most };
            for (subjects, from) in todo {
                for (number, (shown, subject)) in subjects.iter().enumerate().skip(from) {
                    let Subject::Value(held) = subject else { continue };
                    if send.send((number, here.render(*shown, held))).is_err() {
                        // Left behind meanwhile.
                        return;
                    }
                }
            }
        };
        own_thread::spawn("threadctx-dump", run).ok().map(|()| Self { work, results })
    }
}
