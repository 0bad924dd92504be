//! Contexts as JSON, the same as they serialize, but quicker: what is said of a key is encoded once for a dump.

use std::io::Write;

use serde::Serialize;

use super::picture::{Content, DumpedContext, DumpedValue, Stamp, Title};
use crate::Ident;

/// Encodes one context after the other.
#[derive(Default)]
pub(super) struct Encoder {
    /// By the key's index: how each of its values begins.
    of_keys: Vec<Option<Box<[u8]>>>,
    /// The latest parent, and the field that says so: many contexts in a row have the same.
    parent: Option<(Ident, String)>,
}

impl Encoder {
    pub(super) fn context(&mut self, out: &mut Vec<u8>, context: &DumpedContext) {
        // What is neither a text of the user's nor a number is written as it is.
        out.extend_from_slice(b"{\"ident\":\"");
        write!(out, "{}", context.ident).expect("memory takes everything");
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(context.kind.as_bytes());
        out.push(b'"');
        field(out, ",\"name\":", context.name.as_ref());
        field(out, ",\"os_tid\":", context.os_tid);
        field(out, ",\"state\":", Some(context.state));
        field(out, ",\"run_state\":", context.run_state);
        field(out, ",\"cpu_us\":", context.cpu_us);
        if let Some(parent) = context.parent {
            out.extend_from_slice(self.parent(parent).as_bytes());
        }
        field(out, ",\"carrier\":", context.carrier.map(|thread| thread.to_string()));
        field(out, ",\"carries\":", context.carries.map(|task| task.to_string()));
        field(out, ",\"registered_us_ago\":", Some(context.registered_us_ago));
        field(out, ",\"last_write_us_ago\":", context.last_write_us_ago);
        field(out, ",\"stale\":", context.stale.then_some(true));
        out.extend_from_slice(b",\"values\":[");
        for (number, value) in context.values.iter().enumerate() {
            if number != 0 {
                out.push(b',');
            }
            self.value(out, value);
        }
        out.extend_from_slice(b"]}");
    }

    fn parent(&mut self, parent: Ident) -> &str {
        let known = self.parent.take().filter(|(known, _)| *known == parent);
        let (_, field) =
            self.parent.insert(known.unwrap_or_else(|| (parent, format!(",\"parent\":\"{parent}\""))));
        field
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &DumpedValue) {
        match value.title {
            Title::OfKey(key) => out.extend_from_slice(self.of_key(key.index(), value)),
            Title::OfName(_) => beginning(out, value),
        }
        match value.content() {
            Content::None => {}
            Content::Json(json) => {
                out.extend_from_slice(b",\"value\":");
                out.extend_from_slice(json.as_bytes());
            }
            _ => field(out, ",\"value\":", Some(&*value.text)),
        }
        if let Some(Stamp { age_us, writes, inherited }) = value.stamp {
            field(out, ",\"age_us\":", Some(age_us));
            field(out, ",\"writes\":", Some(writes));
            field(out, ",\"inherited\":", Some(inherited));
        }
        out.extend_from_slice(b",\"shown\":\"");
        out.extend_from_slice(value.kind.name().as_bytes());
        out.push(b'"');
        field(out, ",\"truncated\":", value.truncated.then_some(true));
        field(out, ",\"problem\":", value.problem);
        out.push(b'}');
    }

    fn of_key(&mut self, index: usize, value: &DumpedValue) -> &[u8] {
        if self.of_keys.len() <= index {
            self.of_keys.resize(index + 1, None);
        }
        self.of_keys[index].get_or_insert_with(|| {
            let mut start = Vec::new();
            beginning(&mut start, value);
            start.into()
        })
    }
}

fn beginning(out: &mut Vec<u8>, value: &DumpedValue) {
    let [namespace, name] = value.title.shown();
    field(out, "{\"namespace\":", Some(namespace));
    field(out, ",\"name\":", Some(name));
    field(out, ",\"type\":", Some(value.type_name));
}

/// A field, unless there is nothing to say.
#[inline]
fn field(out: &mut Vec<u8>, name: &str, value: Option<impl Serialize>) {
    if let Some(value) = value {
        out.extend_from_slice(name.as_bytes());
        serde_json::to_writer(out, &value)
            .expect("a picture is texts, numbers and JSON, none of which can fail to serialize");
    }
}
