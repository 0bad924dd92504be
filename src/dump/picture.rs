//! The owned picture that a dump is, as its JSON has it. Changes to these fields only ever add.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The version that the JSON states.
pub(crate) const SCHEMA: &str = "threadctx.dump/1";

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Picture {
    pub(crate) schema: &'static str,
    /// False when anything was left out, cut or busy.
    pub(crate) complete: bool,
    pub(crate) captured_at: String,
    pub(crate) process: Process,
    pub(crate) limits: Limits,
    pub(crate) counts: Counts,
    pub(crate) contexts: Vec<ContextPicture>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    pub(crate) uptime_us: u64,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Limits {
    pub(crate) max_contexts: usize,
    pub(crate) max_value_bytes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) budget_us: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) contexts: usize,
    pub(crate) values: usize,
    pub(crate) secret: usize,
    pub(crate) truncated: usize,
    /// Values that could not be read or rendered just then.
    pub(crate) busy: usize,
    /// Contexts that are not in the picture.
    pub(crate) left_out: usize,
    /// Values that are not in the picture, of contexts that are.
    pub(crate) values_left_out: usize,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ContextPicture {
    pub(crate) ident: String,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) os_tid: Option<u64>,
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<String>,
    /// The thread that polls the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) carrier: Option<String>,
    /// The task that is polled in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) carries: Option<String>,
    pub(crate) registered_us_ago: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_write_us_ago: Option<u64>,
    /// By namespace and name.
    pub(crate) values: Vec<ValuePicture>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ValuePicture {
    pub(crate) namespace: String,
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) type_name: &'static str,
    #[serde(skip_serializing_if = "Content::is_none")]
    pub(crate) value: Content,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) age_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) writes: Option<u32>,
    /// Whether it came by a snapshot and was not written since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) inherited: Option<bool>,
    pub(crate) shown: &'static str,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<Problem>,
}

/// What stands in the place of a value.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Nothing: the type has to do.
    None,
    /// What `Debug` said, or the beginning of it.
    Debug(String),
    /// What `Display` said, or the beginning of it.
    Display(String),
    Json(Box<RawValue>),
    /// The beginning of JSON that was longer.
    CutJson(String),
    /// Why there is no value, in angle brackets.
    Problem(String),
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
    /// Its renderer gave an error.
    Failed,
}

impl Content {
    pub(crate) fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The text as it was rendered, not escaped.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::None => "",
            Self::Debug(text) | Self::Display(text) | Self::CutJson(text) | Self::Problem(text) => text,
            Self::Json(json) => json.get(),
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(json) => json.serialize(serializer),
            other => serializer.serialize_str(other.text()),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
