//! The owned picture that a dump is, as its JSON has it. Changes to these fields only ever add.

use std::{borrow::Cow, cmp::Ordering, fmt, ptr};

use serde::{Serialize, Serializer, ser::SerializeStruct};
use serde_json::value::RawValue;

use super::{escape::cut_name, findings::Finding, shown::ShownKind, small::SmallStr, unmoved::Unmoved};
use crate::{Ident, identity::Identity, sync::Arc, title};

/// The version that the JSON states.
pub(crate) const SCHEMA: &str = "threadctx.dump/1";

/// A whole dump: what is known before its contexts, they themselves, and what is known after them.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) head: Head,
    pub(crate) contexts: Vec<DumpedContext>,
    pub(crate) end: End,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Head {
    pub(crate) schema: &'static str,
    pub(crate) captured_at: String,
    /// The same moment by the clock that ages go by, since some moment in the past.
    pub(crate) captured_us: u64,
    pub(crate) process: Process,
    pub(crate) limits: Limits,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct End {
    pub(crate) counts: DumpCounts,
    pub(crate) findings: Vec<Finding>,
    /// The limits for which something was left out, each once.
    pub(crate) limits_met: Vec<Limit>,
    /// False when anything was left out, cut or busy.
    pub(crate) complete: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) uptime_us: u64,
    /// When it started, in the system's ticks since its boot; with the boot and the pid, what no other process has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_ticks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) boot_id: Option<String>,
    /// Random: a process that executes another program keeps all of the above, and begins with the idents anew.
    pub(crate) image_id: String,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    pub(crate) max_contexts: usize,
    pub(crate) max_value_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) budget_us: u64,
}

/// A limit, as [`Limits`] calls it, for which something was left out: a context, a value or a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    MaxContexts,
    MaxBytes,
    BudgetUs,
}

/// What is in a dump and what is not, in numbers.
///
/// ```
/// threadctx::get_thread_ctx().namespace("probe").insert("rate", 50_u32).unwrap();
/// let counts = threadctx::dump().counts();
/// assert!(counts.values >= 1);
/// assert_eq!(counts.contexts, counts.threads + counts.tasks);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DumpCounts {
    /// Contexts in the dump.
    pub contexts: usize,
    /// Those of threads among them.
    pub threads: usize,
    /// Those of tasks among them.
    pub tasks: usize,
    /// Values in the dump.
    pub values: usize,
    /// What their renderers gave, in bytes.
    pub value_bytes: usize,
    /// Values that are secret.
    pub secret: usize,
    /// Values of which the dump has the beginning only.
    pub truncated: usize,
    /// Values that could not be read or rendered just then.
    pub busy: usize,
    /// Contexts that are not in the dump though they were wanted.
    pub left_out: usize,
    /// Values that are not in the dump though their contexts are.
    pub values_left_out: usize,
    /// Findings that are not in the dump.
    pub findings_left_out: usize,
}

impl DumpCounts {
    /// Whether nothing was left out, cut or busy.
    pub(super) fn are_complete(&self) -> bool {
        let Self { truncated, busy, left_out, values_left_out, findings_left_out, .. } = *self;
        [truncated, busy, left_out, values_left_out, findings_left_out] == [0; 5]
    }
}

/// One context as a dump shows it.
///
/// ```
/// let me = threadctx::get_thread_ctx();
/// let dump = me.handle().dump();
/// let context = &dump.contexts()[0];
/// assert_eq!(context.ident(), me.ident());
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct DumpedContext {
    #[serde(serialize_with = "as_text")]
    pub(crate) ident: Ident,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) os_tid: Option<u64>,
    pub(crate) state: &'static str,
    /// What the system says of the thread: see [`Facts`](super::facts::Facts).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text_if_some")]
    pub(crate) parent: Option<Ident>,
    /// The thread that polls the task.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text_if_some")]
    pub(crate) carrier: Option<Ident>,
    /// The task that is polled in its place.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text_if_some")]
    pub(crate) carries: Option<Ident>,
    /// The name of that. JSON has it where it has the task.
    #[serde(skip)]
    pub(crate) carried_name: Option<String>,
    pub(crate) registered_us_ago: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_write_us_ago: Option<u64>,
    /// Whether that is longer ago than the caller's threshold.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) stale: bool,
    /// What somebody watches and found not to have moved: the findings say it.
    #[serde(skip)]
    pub(crate) unmoved: Vec<Unmoved>,
    /// By namespace and name.
    pub(crate) values: Vec<DumpedValue>,
}

impl DumpedContext {
    pub(super) fn is_task(&self) -> bool {
        matches!(self.ident, Ident::Task(_))
    }
}

/// One value as a dump shows it.
///
/// ```
/// let me = threadctx::get_thread_ctx();
/// me.namespace("probe").insert("rate", 50_u32).unwrap();
/// let dump = me.handle().dump();
/// let value = dump.contexts()[0].value("probe", "rate").unwrap();
/// assert_eq!((value.text(), value.type_name()), (Some("50"), "u32"));
/// ```
#[derive(Clone, Debug)]
pub struct DumpedValue {
    pub(crate) title: Title,
    pub(crate) type_name: &'static str,
    /// What stands in the place of the value: see [`content`](Self::content).
    pub(crate) text: SmallStr,
    pub(crate) stamp: Option<Stamp>,
    pub(crate) kind: ShownKind,
    pub(crate) truncated: bool,
    pub(crate) problem: Option<Problem>,
}

/// What is noted of a write, of a value that a dump shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) age_us: u64,
    pub(crate) writes: u64,
    /// Whether it came by a snapshot and was not written since.
    pub(crate) inherited: bool,
}

/// What a value goes by, where that is kept anyway.
#[derive(Clone)]
pub(crate) enum Title {
    OfKey(&'static Identity),
    OfName(Arc<title::Title>),
}

/// What stands in the place of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'v> {
    /// Nothing: the type has to do.
    None,
    /// What `Debug` said, or the beginning of it.
    Debug(&'v SmallStr),
    /// What `Display` said, or the beginning of it.
    Display(&'v SmallStr),
    /// A text that is JSON.
    Json(&'v SmallStr),
    /// The beginning of JSON that was longer.
    CutJson(&'v SmallStr),
    /// Why there is no value, in angle brackets.
    Problem(&'v SmallStr),
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Problem {
    /// It was being written each time the dump looked.
    Busy,
    /// This dump was taken from inside a renderer, and runs none.
    Nested,
    /// Its renderer panicked.
    Panicked,
    /// Its renderer gave an error, or something that is no JSON.
    Failed,
    /// Its renderer had not ended when the dump's patience had.
    Hung,
    /// It was to be rendered on a thread that could be left behind, and none could be had.
    Unrendered,
}

impl Problem {
    /// Whether another dump may well show the value.
    pub(crate) fn is_busy(self) -> bool {
        matches!(self, Self::Busy | Self::Nested | Self::Hung | Self::Unrendered)
    }
}

impl DumpedValue {
    /// What its renderer gave, in bytes.
    pub(super) fn size(&self) -> usize {
        if self.problem.is_some() { 0 } else { self.text.as_bytes().len() }
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.stamp.is_some_and(|stamp| stamp.inherited)
    }

    pub(crate) fn content(&self) -> Content<'_> {
        if self.problem.is_some() {
            return Content::Problem(&self.text);
        }
        match self.kind {
            ShownKind::Opaque | ShownKind::Secret => Content::None,
            ShownKind::Debug => Content::Debug(&self.text),
            ShownKind::Display => Content::Display(&self.text),
            ShownKind::Json if self.truncated => Content::CutJson(&self.text),
            ShownKind::Json => Content::Json(&self.text),
        }
    }
}

impl Title {
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::OfKey(key) => key.namespace(),
            Self::OfName(title) => &title.namespace,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::OfKey(key) => key.name(),
            Self::OfName(title) => &title.name,
        }
    }

    /// Namespace and name as text and JSON have them: a name of any length may come from a client.
    pub(super) fn shown(&self) -> [Cow<'_, str>; 2] {
        [self.namespace(), self.name()].map(cut_name)
    }

    /// By namespace and name. Most of a context are of one namespace, which need not be read for that.
    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (self.namespace(), other.namespace());
        let by_namespace = if ptr::eq(one, two) { Ordering::Equal } else { one.cmp(two) };
        by_namespace.then_with(|| self.name().cmp(other.name()))
    }
}

impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{:?}", self.namespace(), self.name())
    }
}

/// The fields in the order of the schema's page, absent where they say nothing.
impl Serialize for DumpedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Value", 10)?;
        let [namespace, name] = self.title.shown();
        fields.serialize_field("namespace", &namespace)?;
        fields.serialize_field("name", &name)?;
        fields.serialize_field("type", self.type_name)?;
        match self.content() {
            Content::None => {}
            Content::Json(json) => fields.serialize_field("value", parsed(json))?,
            _ => fields.serialize_field("value", &*self.text)?,
        }
        if let Some(Stamp { age_us, writes, inherited }) = self.stamp {
            fields.serialize_field("age_us", &age_us)?;
            fields.serialize_field("writes", &writes)?;
            fields.serialize_field("inherited", &inherited)?;
        }
        fields.serialize_field("shown", self.kind.name())?;
        if self.truncated {
            fields.serialize_field("truncated", &true)?;
        }
        if let Some(problem) = self.problem {
            fields.serialize_field("problem", &problem)?;
        }
        fields.end()
    }
}

pub(super) fn as_text<S: Serializer>(ident: &Ident, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(ident)
}

fn as_text_if_some<S: Serializer>(ident: &Option<Ident>, serializer: S) -> Result<S::Ok, S::Error> {
    match ident {
        Some(ident) => serializer.collect_str(ident),
        None => serializer.serialize_none(),
    }
}

fn parsed(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("it was checked when it was rendered")
}

/// As the streaming form writes it: what is known last comes last.
impl Serialize for Picture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { head, contexts, end } = self;
        let mut fields = serializer.serialize_struct("Dump", 10)?;
        fields.serialize_field("schema", &head.schema)?;
        fields.serialize_field("captured_at", &head.captured_at)?;
        fields.serialize_field("captured_us", &head.captured_us)?;
        fields.serialize_field("process", &head.process)?;
        fields.serialize_field("limits", &head.limits)?;
        fields.serialize_field("contexts", contexts)?;
        fields.serialize_field("counts", &end.counts)?;
        fields.serialize_field("findings", &end.findings)?;
        fields.serialize_field("limits_met", &end.limits_met)?;
        fields.serialize_field("complete", &end.complete)?;
        fields.end()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
