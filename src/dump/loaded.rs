//! A dump as it is read back from its JSON: every field may be missing, and others may be there.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::escape::{Escaped, Printable, short};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadedDump {
    pub(super) captured_at: String,
    pub(super) complete: bool,
    pub(super) process: LoadedProcess,
    pub(super) contexts: Vec<LoadedContext>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LoadedProcess {
    pub(super) pid: u64,
    pub(super) name: String,
    pub(super) uptime_us: u64,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) writes: Option<u64>,
    pub(super) shown: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) truncated: bool,
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
            Some(Value::String(text)) if self.shown == "display" => format!("\"{}{cut}\"", Escaped(text)),
            Some(Value::String(text)) if self.shown != "json" || self.truncated => {
                format!("{}{cut}", Printable(text))
            }
            Some(json) => Printable(&json.to_string()).to_string(),
        }
    }
}
