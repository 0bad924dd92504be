//! Any names, values and limits, and any text that claims to be a dump: what comes out is well-formed.

#![no_main]

use std::{fmt, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use threadctx::{Dump, DumpDiff, DumpOptions, FutureExt, TextStyle, get_thread_ctx};

#[derive(Arbitrary, Debug)]
struct Input {
    values: Vec<(String, String, Value)>,
    task_name: String,
    max_contexts: u8,
    max_value_bytes: u16,
    max_bytes: u32,
    columns: u8,
    group: bool,
    namespace: Option<String>,
    value: Option<(String, String, String)>,
    claims_to_be_a_dump: String,
}

#[derive(Arbitrary, Debug)]
enum Value {
    Text(String),
    Raw(String),
    Json(Vec<Option<String>>),
    Opaque,
    Secret,
}

/// Writes the text as it is.
struct Raw(String);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const MARKER: &str = "xyzzy-never-shown-plugh";

fn put(namespace: &str, name: &str, value: Value) {
    let namespace = get_thread_ctx().namespace(namespace);
    match value {
        Value::Text(text) => _ = namespace.insert(name, text),
        Value::Raw(text) => _ = namespace.insert(name, Raw(text)),
        Value::Json(json) => _ = namespace.insert_json(name, json),
        Value::Opaque => _ = namespace.insert_opaque(name, ()),
        Value::Secret => _ = namespace.insert_secret(name, MARKER),
    }
}

fn check_text(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains(MARKER));
}

fn check(dump: &Dump, max_bytes: usize) {
    let (text, json) = (dump.to_string(), dump.to_json());
    check_text(&text);
    serde_json::from_str::<serde_json::Value>(&json).expect("it is JSON");
    assert!(!json.contains(|c: char| c < ' ') && !json.contains(MARKER));
    let least = 3_000;
    assert!(text.len() <= max_bytes.max(least) && json.len() <= max_bytes.max(least));
}

fuzz_target!(|input: Input| {
    get_thread_ctx().clear();
    input.values.into_iter().for_each(|(namespace, name, value)| put(&namespace, &name, value));
    let mut options = DumpOptions::new()
        .max_contexts(input.max_contexts.into())
        .max_value_bytes(input.max_value_bytes.into())
        .max_bytes(input.max_bytes as usize)
        .budget(Duration::from_secs(60))
        .group(input.group)
        .stale_after(Duration::ZERO)
        .text_style(TextStyle::plain().columns(input.columns.into()));
    if let Some(namespace) = input.namespace {
        options = options.namespace(&namespace);
    }
    if let Some((namespace, name, text)) = input.value {
        options = options.value(&namespace, &name, &text);
    }
    let _task = async {}.in_context().named(input.task_name);
    let dump = options.take();
    check(&dump, input.max_bytes as usize);
    let mut streamed = Vec::new();
    options.write_text(&mut streamed).expect("memory takes everything");
    check_text(str::from_utf8(&streamed).expect("it is text"));
    check_text(&options.take().since(&dump).to_string());
    if let Ok(diff) = DumpDiff::from_json(&input.claims_to_be_a_dump, &dump.to_json()) {
        check_text(&diff.to_string());
    }
});
