//! What a dump takes in, and how it looks: limits, filters, thresholds.

use std::{io, time::Duration};

use super::{
    Dump, DumpCounts, TextStyle,
    filter::{Condition, Filter},
    json::{JsonSink, Lines},
    picture::Limits,
    stream,
    text::{Layout, TextSink},
    unmoved::{Marks, Unmoved},
};
use crate::{ContextRef, Ident, registry};

/// Limits, filters and looks of a dump, to [take](Self::take) it or to write it straight to where it goes.
///
/// Written straight ([`write_text`](Self::write_text), [`write_json`](Self::write_json),
/// [`write_ndjson`](Self::write_ndjson)), a dump needs the memory for one context, however many there are. So what is known
/// only when all have been seen, the counts and findings, comes last, and of contexts that are alike those share a text that
/// follow each other.
///
/// # What survives a cut
///
/// Contexts come oldest first, and a limit leaves out the youngest; but some are taken before all others, and so survive every
/// cut that leaves anything: those that [`keep`](Self::keep) names, the one of the thread that panics where a dump is taken
/// during a panic, main's, and the one that has not been written for longest.
///
/// ```
/// use std::time::Duration;
/// use threadctx::DumpOptions;
///
/// let probe = threadctx::get_thread_ctx().namespace("probe");
/// probe.insert("log", "x".repeat(100)).unwrap();
/// let dump = DumpOptions::new()
///     .max_contexts(100)
///     .max_value_bytes(16)
///     .max_bytes(64 * 1024)
///     .budget(Duration::from_millis(250))
///     .namespace("pro*")
///     .take();
/// assert!(!dump.is_complete(), "the value was cut");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `take`"]
pub struct DumpOptions {
    pub(super) limits: Limits,
    pub(super) filter: Filter,
    pub(super) kept: Vec<Ident>,
    pub(super) patience: Option<Duration>,
    /// In microseconds.
    pub(super) stale_after: Option<u64>,
    is_grouped: bool,
    marks: Marks,
    /// What somebody asked for.
    style: Option<TextStyle>,
}

impl Default for DumpOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpOptions {
    /// The usual limits: 10,000 contexts, 1 KiB per value, 16 MiB, 1 s.
    ///
    /// ```
    /// assert!(threadctx::DumpOptions::new().take().is_complete());
    /// ```
    pub fn new() -> Self {
        let limits = Limits {
            max_contexts: 10_000,
            max_value_bytes: 1 << 10,
            max_bytes: 16 << 20,
            budget_us: 1_000_000,
        };
        Self {
            limits,
            filter: Filter::default(),
            kept: Vec::new(),
            patience: None,
            stale_after: None,
            is_grouped: true,
            marks: Marks::new(),
            style: None,
        }
    }

    /// At most so many contexts, the oldest ones.
    ///
    /// ```
    /// # threadctx::get_thread_ctx();
    /// assert!(!threadctx::DumpOptions::new().max_contexts(0).take().is_complete());
    /// ```
    pub fn max_contexts(mut self, contexts: usize) -> Self {
        self.limits.max_contexts = contexts;
        self
    }

    /// At most so many bytes of what a value's renderer gives; the rest is cut.
    ///
    /// ```
    /// # threadctx::get_thread_ctx().namespace("probe").insert("log", "long enough").unwrap();
    /// let dump = threadctx::DumpOptions::new().max_value_bytes(5).take();
    /// assert!(dump.to_string().contains("\"long\u{2026}"));
    /// ```
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_value_bytes = bytes;
        self
    }

    /// At most so many bytes in either form, text or JSON; what does not fit is left out and counted.
    ///
    /// ```
    /// let dump = threadctx::DumpOptions::new().max_bytes(2_000).take();
    /// assert!(dump.to_json().len() <= 2_000);
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// At most so much time, from the call on. What is rendered when it is over is finished, since nothing can interrupt it;
    /// the rest is left out and counted.
    ///
    /// ```
    /// use std::time::Duration;
    /// # threadctx::get_thread_ctx();
    /// assert!(!threadctx::DumpOptions::new().budget(Duration::ZERO).take().is_complete());
    /// ```
    pub fn budget(mut self, budget: Duration) -> Self {
        self.limits.budget_us = micros(budget);
        self
    }

    /// At most so much time for one value. Renderers then run on a thread of their own, and one that takes longer is left
    /// behind there, with the values of its context: the dump says `<busy: its renderer does not end>` and goes on.
    ///
    /// Without it, renderers run on the thread that dumps, and one that waits for a lock makes the dump wait for as long: for
    /// ever, if whoever holds the lock is stuck, or is the thread that dumps. With it, the dump ends when its
    /// [`budget`](Self::budget) does. What it costs: a thread, which the next dump uses again; and one more for each renderer that does
    /// not end, up to eight for one dump and 64 in all. A value whose renderer does not end keeps one thread: until that is back,
    /// later dumps say so of the value at once. A renderer that asks for the current context finds the helper's, which is empty.
    ///
    /// Where the system has no thread to give, numbers and texts are rendered all the same, and of other values the dump says
    /// `<not rendered: no thread could be had for it>`.
    ///
    /// ```
    /// use std::{fmt, sync::{Arc, Mutex}, time::Duration};
    ///
    /// struct Guarded(Arc<Mutex<u32>>);
    /// impl fmt::Debug for Guarded {
    ///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    ///         write!(f, "{}", self.0.lock().unwrap())
    ///     }
    /// }
    ///
    /// let number = Arc::new(Mutex::new(7));
    /// threadctx::get_thread_ctx().namespace("probe").insert("guarded", Guarded(number.clone())).unwrap();
    /// let _held = number.lock().unwrap();
    /// let dump = threadctx::DumpOptions::new().patience(Duration::from_millis(50)).take();
    /// assert!(dump.to_string().contains("<busy: its renderer does not end>"));
    /// ```
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Only namespaces that match `pattern`, in which `*` stands for anything (`\*` for a star), and only contexts that have a value in
    /// one. Given again: those that match either.
    ///
    /// ```
    /// let ctx = threadctx::get_thread_ctx();
    /// ctx.namespace("http").insert("route", "/").unwrap();
    /// ctx.namespace("db").insert("pool", 1).unwrap();
    /// let dump = threadctx::DumpOptions::new().namespace("h*p").take().to_string();
    /// assert!(dump.contains("http.route") && !dump.contains("db.pool"));
    /// ```
    pub fn namespace(mut self, pattern: &str) -> Self {
        self.filter.namespaces.push(pattern.into());
        self
    }

    /// Only contexts of threads whose name matches `pattern`, in which `*` stands for anything (`\*` for a star), and of tasks that were
    /// [named](crate::InContext::named) so. Who has no name has the empty one. Given again: those that match either.
    ///
    /// ```
    /// let named = std::thread::Builder::new().name("pool-1".into());
    /// let thread = named.spawn(|| {
    ///     threadctx::get_thread_ctx();
    ///     threadctx::DumpOptions::new().thread_name("pool-*").take()
    /// });
    /// assert_eq!(thread.unwrap().join().unwrap().contexts()[0].name(), Some("pool-1"));
    /// ```
    pub fn thread_name(mut self, pattern: &str) -> Self {
        self.filter.names.push(pattern.into());
        self
    }

    /// Only contexts that show this value as a text that matches `pattern`, in which `*` stands for anything (`\*` for a star). A text in
    /// quotes is met with or without them; a secret is never met. Given again: those that meet all.
    ///
    /// ```
    /// let http = threadctx::get_thread_ctx().namespace("http");
    /// http.insert("request_id", "req-9f2c").unwrap();
    /// let with = |id| threadctx::DumpOptions::new().value("http", "request_id", id).take();
    /// assert_eq!(with("req-9f2c").contexts().len(), 1);
    /// assert_eq!(with("req-0000").contexts().len(), 0);
    /// ```
    pub fn value(mut self, namespace: &str, name: &str, pattern: &str) -> Self {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.filter.values.push(Condition { namespace, name, text: pattern.into() });
        self
    }

    /// Only contexts that were last written at least so long ago, as far as values go that a dump shows.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
    /// let dump = threadctx::DumpOptions::new().stale_for(Duration::from_secs(3_600)).take();
    /// assert!(dump.contexts().is_empty());
    /// ```
    pub fn stale_for(mut self, least: Duration) -> Self {
        self.filter.stale_for = Some(micros(least));
        self
    }

    /// Marks contexts that were last written at least so long ago, as far as values go that the dump shows: with `!!!` in
    /// the text, and with a finding.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
    /// let dump = threadctx::DumpOptions::new().stale_after(Duration::ZERO).take();
    /// assert!(dump.to_string().contains("ago !!!"));
    /// ```
    pub fn stale_after(mut self, most: Duration) -> Self {
        self.stale_after = Some(micros(most));
        self
    }

    /// Has the context of `ident` survive every cut.
    ///
    /// ```
    /// let me = threadctx::get_thread_ctx().ident();
    /// let dump = threadctx::DumpOptions::new().keep(me).max_contexts(1).take();
    /// assert_eq!(dump.contexts()[0].ident(), me);
    /// ```
    pub fn keep(mut self, ident: impl Into<Ident>) -> Self {
        self.kept.push(ident.into());
        self
    }

    /// Whether contexts that show the same share one text, which they do unless this says no. JSON has each by itself.
    ///
    /// ```
    /// # threadctx::get_thread_ctx();
    /// let text = threadctx::DumpOptions::new().group(false).take().to_string();
    /// assert!(!text.contains("alike"));
    /// ```
    pub fn group(mut self, group: bool) -> Self {
        self.is_grouped = group;
        self
    }

    /// How the text looks: [plain](TextStyle::plain), if this is not called; but the outlets that write to standard error
    /// take what [suits](TextStyle::of) that. `Display` keeps to its width and leaves its colours out.
    ///
    /// ```
    /// use threadctx::{DumpOptions, TextStyle};
    ///
    /// let stderr = std::io::stderr();
    /// DumpOptions::new().text_style(TextStyle::of(&stderr)).write_text(&mut stderr.lock()).unwrap();
    /// ```
    pub fn text_style(mut self, style: TextStyle) -> Self {
        self.style = Some(style);
        self
    }

    /// Takes the dump.
    ///
    /// ```
    /// println!("{}", threadctx::DumpOptions::new().take());
    /// ```
    pub fn take(&self) -> Dump {
        self.take_from(registry::all)
    }

    /// Takes the dump and writes it as text, one context at a time.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// # threadctx::get_thread_ctx();
    /// let counts = threadctx::DumpOptions::new().write_text(&mut std::io::stderr()).unwrap();
    /// assert!(counts.contexts >= 1);
    /// ```
    pub fn write_text(&self, out: &mut impl io::Write) -> io::Result<DumpCounts> {
        self.stream(&mut TextSink::new(out, self.layout()))
    }

    /// Takes the dump and writes it as JSON, one context at a time.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// let mut json = Vec::new();
    /// threadctx::DumpOptions::new().write_json(&mut json).unwrap();
    /// let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    /// assert_eq!(json["schema"], "threadctx.dump/1");
    /// ```
    pub fn write_json(&self, out: &mut impl io::Write) -> io::Result<DumpCounts> {
        self.stream(&mut JsonSink::new(out))
    }

    /// Takes the dump and writes it as lines of JSON: what is known first, then a line per context, then a line with the
    /// counts and findings.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    ///
    /// ```
    /// let mut lines = Vec::new();
    /// let counts = threadctx::DumpOptions::new().write_ndjson(&mut lines).unwrap();
    /// assert_eq!(String::from_utf8(lines).unwrap().lines().count(), 1 + counts.contexts + 1);
    /// ```
    pub fn write_ndjson(&self, out: &mut impl io::Write) -> io::Result<DumpCounts> {
        self.stream(&mut Lines::new(out))
    }

    fn stream(&self, sink: &mut impl stream::Sink) -> io::Result<DumpCounts> {
        Ok(stream::run(self, registry::all, sink)?.counts)
    }

    pub(crate) fn take_of(&self, contexts: Vec<ContextRef>) -> Dump {
        self.take_from(|| contexts)
    }

    fn take_from(&self, all: impl FnOnce() -> Vec<ContextRef>) -> Dump {
        Dump { picture: stream::collect(self, all), layout: self.layout() }
    }

    /// Marks what has not moved, and has it survive every cut.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn unmoved(mut self, marks: Marks) -> Self {
        self.kept.extend(marks.iter().map(|(ident, _)| *ident));
        self.marks = marks;
        self
    }

    pub(super) fn unmoved_in(&self, context: Ident) -> Vec<Unmoved> {
        let marks = self.marks.iter().filter(|(ident, _)| *ident == context);
        marks.map(|(_, unmoved)| unmoved.clone()).collect()
    }

    /// How the text looks; as a plain one does, if nobody said.
    pub(crate) fn style(&self) -> TextStyle {
        self.style.unwrap_or_default()
    }

    /// Has the text look like this, unless somebody asked for something else.
    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn or_style(mut self, style: TextStyle) -> Self {
        self.style.get_or_insert(style);
        self
    }

    #[cfg(not(any(loom, shuttle)))]
    pub(crate) fn most_bytes(&self) -> usize {
        self.limits.max_bytes
    }

    pub(crate) fn most_contexts(&self) -> usize {
        self.limits.max_contexts
    }

    fn layout(&self) -> Layout {
        Layout { is_grouped: self.is_grouped, style: self.style() }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}
