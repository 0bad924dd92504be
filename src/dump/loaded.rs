//! A dump as a difference looks at it, taken from the dump itself or read back from its JSON, where every field may be missing,
//! and others may be there.
//!
//! A value that is JSON stays the text that it is. A parser would refuse some of what may stand there (depth, numbers out of
//! range), and change some more (precision, keys that come twice).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    escape::{Escaped, Printable, short},
    picture::{Content, DumpedContext, DumpedValue, Picture, Process},
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadedDump {
    pub(super) schema: Option<String>,
    pub(super) captured_at: String,
    /// By the clock that ages go by.
    pub(super) captured_us: Option<u64>,
    pub(super) complete: bool,
    pub(super) process: LoadedProcess,
    pub(super) contexts: Option<Vec<LoadedContext>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadedProcess {
    pub(super) pid: u64,
    pub(super) name: String,
    pub(super) uptime_us: u64,
    pub(super) start_ticks: Option<u64>,
    pub(super) boot_id: Option<String>,
    pub(super) image_id: Option<String>,
}

impl LoadedProcess {
    /// A number that the system has given again is another process. The name says nothing: an upgrade may change it.
    pub(super) fn is(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        self.pid == other.pid
            && agree(&self.start_ticks, &other.start_ticks)
            && agree(&self.boot_id, &other.boot_id)
            && agree(&self.image_id, &other.image_id)
    }
}

impl From<&Picture> for LoadedDump {
    fn from(Picture { head, contexts, end }: &Picture) -> Self {
        Self {
            schema: Some(head.schema.to_owned()),
            captured_at: head.captured_at.clone(),
            captured_us: Some(head.captured_us),
            complete: end.complete,
            process: (&head.process).into(),
            contexts: Some(contexts.iter().map(LoadedContext::from).collect()),
        }
    }
}

impl From<&Process> for LoadedProcess {
    fn from(process: &Process) -> Self {
        Self {
            pid: process.pid.into(),
            name: process.name.clone(),
            uptime_us: process.uptime_us,
            start_ticks: process.start_ticks,
            boot_id: process.boot_id.clone(),
            image_id: Some(process.image_id.clone()),
        }
    }
}

impl From<&DumpedContext> for LoadedContext {
    fn from(context: &DumpedContext) -> Self {
        Self {
            ident: context.ident.to_string(),
            name: context.name.clone(),
            os_tid: context.os_tid,
            cpu_us: context.cpu_us,
            values: context.values.iter().map(LoadedValue::from).collect(),
        }
    }
}

impl From<&DumpedValue> for LoadedValue {
    fn from(value: &DumpedValue) -> Self {
        let json = match value.content() {
            Content::None => None,
            Content::Json(json) => RawValue::from_string(json.to_string()).ok(),
            _ => to_raw_value(&*value.text).ok(),
        };
        Self {
            namespace: value.title.namespace().to_owned(),
            name: value.title.name().to_owned(),
            type_name: value.type_name.to_owned(),
            value: json,
            age_us: value.stamp.map(|stamp| stamp.age_us),
            writes: value.stamp.map(|stamp| stamp.writes),
            shown: value.kind.name().to_owned(),
            truncated: value.truncated,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LoadedContext {
    pub(super) ident: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) os_tid: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_us: Option<u64>,
    pub(super) values: Vec<LoadedValue>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct LoadedValue {
    pub(super) namespace: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) type_name: String,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "even_null")]
    pub(super) value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) writes: Option<u64>,
    pub(super) shown: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) truncated: bool,
}

/// A `null` that is there is a value like any other.
fn even_null<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(json).map(Some)
}

impl LoadedValue {
    pub(super) fn title(&self) -> String {
        format!("{}.{}", Escaped(&self.namespace), Escaped(&self.name))
    }

    /// On one line, as the text of a dump has it.
    pub(super) fn text(&self) -> String {
        let cut = if self.truncated { "\u{2026}" } else { "" };
        match &self.value {
            None if self.shown == "secret" => format!("<secret {}>", Printable(&short(&self.type_name))),
            None => format!("<{}>", Printable(&short(&self.type_name))),
            Some(json) => match serde_json::from_str::<String>(json.get()) {
                Ok(text) if self.shown == "display" => format!("\"{}{cut}\"", Escaped(&text)),
                Ok(text) if self.shown != "json" || self.truncated => format!("{}{cut}", Printable(&text)),
                _ => Printable(json.get()).to_string(),
            },
        }
    }

    /// Whether both show the same.
    pub(super) fn shows_the_same_as(&self, other: &Self) -> bool {
        let json = |value: &Self| value.value.as_ref().map(|json| without_white_space(json.get()));
        (json(self), self.truncated, &self.type_name) == (json(other), other.truncated, &other.type_name)
    }
}

/// The JSON without the white space between its tokens, which NDJSON and tools change.
fn without_white_space(json: &str) -> String {
    let (mut is_text, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        let is_kept = is_text || !c.is_ascii_whitespace();
        is_text ^= *c == '"' && !is_escaped;
        is_escaped = is_text && *c == '\\' && !is_escaped;
        is_kept
    };
    json.chars().filter(is_kept).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_between_tokens_only() {
        for (json, expected) in [
            ("{ \"a b\" :\n [1, 2 ] }", "{\"a b\":[1,2]}"),
            (r#"[ "a \" b" , "c \\" , " d" ]"#, r#"["a \" b","c \\"," d"]"#),
        ] {
            assert_eq!(without_white_space(json), expected);
        }
    }
}
