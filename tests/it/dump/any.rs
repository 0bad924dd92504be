//! Any names, any values, any limits: the output is well-formed, says what it cut, and is the same again.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use proptest::prelude::*;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use threadctx::{Dump, DumpDiff, DumpOptions, get_thread_ctx};

use crate::support::worker::Worker;

/// A value that renders as somebody wants it to.
#[derive(Clone, Debug)]
enum Any {
    Text(String),
    Raw(String),
    Json(String),
    BadJson,
    Opaque,
    Secret(String),
    Panics(String),
    Fails,
}

/// Writes the text as it is.
struct Raw(String);

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

struct Panics(String);

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::panic::resume_unwind(Box::new(self.0.clone()))
    }
}

struct Fails;

impl fmt::Debug for Fails {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

/// Serializes a key and no value, which nobody stops it from.
struct BadJson;

impl Serialize for BadJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_key("key")?;
        map.end()
    }
}

fn put(namespace: &str, name: &str, value: Any) {
    let namespace = get_thread_ctx().namespace(namespace);
    // A name that comes twice has its first type; what is refused is not there.
    match value {
        Any::Text(text) => _ = namespace.insert(name, text),
        Any::Raw(text) => _ = namespace.insert(name, Raw(text)),
        Any::Json(text) => _ = namespace.insert_json(name, vec![text]),
        Any::BadJson => _ = namespace.insert_json(name, BadJson),
        Any::Opaque => _ = namespace.insert_opaque(name, ()),
        Any::Secret(text) => _ = namespace.insert_secret(name, text),
        Any::Panics(text) => _ = namespace.insert(name, Panics(text)),
        Any::Fails => _ = namespace.insert(name, Fails),
    }
}

/// Texts with what is apt to break a line, a quote or a terminal.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x1f\\x7f-\\x9f\"'\\\\\u{202e}\u{1b}a]{0,40}", "x{0,2000}"]
}

fn value() -> impl Strategy<Value = Any> {
    prop_oneof![
        text().prop_map(Any::Text),
        text().prop_map(Any::Raw),
        text().prop_map(Any::Json),
        Just(Any::BadJson),
        Just(Any::Opaque),
        "[a-z]{0,9}".prop_map(|text| Any::Secret(format!("{MARKER}{text}"))),
        text().prop_map(Any::Panics),
        Just(Any::Fails),
    ]
}

const MARKER: &str = "xyzzy-never-shown";

/// What differs from run to run is taken out.
fn timeless(json: &str) -> Value {
    fn forget(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                let changes =
                    |name: &str| name.contains("_us") || ["captured_at", "us", "run_state"].contains(&name);
                fields.retain(|name, _| !changes(name));
                fields.values_mut().for_each(forget);
            }
            Value::Array(items) => items.iter_mut().for_each(forget),
            _ => {}
        }
    }
    let mut json = serde_json::from_str(json).expect("it is JSON");
    forget(&mut json);
    json
}

fn check_text(text: &str, contexts: usize) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    assert!(!text.contains(MARKER));
    let headers = text.lines().filter(|line| line.starts_with('"')).count();
    assert_eq!(headers, contexts, "{text}");
}

fn check(dump: &Dump, max_value_bytes: usize, max_bytes: usize) {
    let (text, json) = (dump.to_string(), dump.to_json());
    assert!(!json.contains(MARKER));
    assert!(!json.contains(|c: char| c < ' '), "{json:?}");
    check_text(&text, dump.contexts().len());
    let counts = dump.counts();
    let values = dump.contexts().iter().flat_map(|context| context.values());
    let truncated = values.clone().filter(|value| value.is_truncated());
    assert_eq!(truncated.count(), counts.truncated);
    assert_eq!(values.clone().count(), counts.values);
    for value in values {
        assert!(value.text().is_none_or(|text| text.len() <= max_value_bytes));
    }
    let lossy = counts.truncated + counts.busy + counts.left_out + counts.values_left_out;
    assert_eq!(dump.is_complete(), lossy + counts.findings_left_out == 0);
    assert_eq!(text.contains("\nLeft out: "), counts.left_out + counts.values_left_out > 0);
    if max_bytes > 3_000 {
        assert!(
            text.len() <= max_bytes && json.len() <= max_bytes,
            "{} {} {max_bytes}",
            text.len(),
            json.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_it_a_dump_is_well_formed_bounded_and_the_same_again(
        thread_name in "[^\\x00]{0,20}",
        values in prop::collection::vec((text(), text(), value()), 0..12),
        max_value_bytes in 0_usize..200,
        max_bytes in prop_oneof![0_usize..20_000, Just(16 << 20)],
        max_contexts in prop_oneof![9 => Just(1_000_usize), 1 => Just(0)],
        columns in 0_usize..300,
        patience in prop::option::of(Just(Duration::from_secs(30))),
    ) {
        static CASE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("any {} {thread_name}", CASE.fetch_add(1, Ordering::Relaxed));
        let worker = Worker::with(thread::Builder::new().name(name.clone()));
        worker.run(move || values.into_iter().for_each(|(namespace, name, value)| put(&namespace, &name, value)));
        worker.handle();
        let style = threadctx::TextStyle::plain().columns(columns);
        // The star of a name would stand for anything; what is before it is this case's alone.
        let pattern = format!("{}*", name.split('*').next().unwrap());
        let options = DumpOptions::new().thread_name(&pattern).max_contexts(max_contexts);
        let options = options.max_value_bytes(max_value_bytes).max_bytes(max_bytes);
        let options = options.group(false).text_style(style).budget(Duration::from_secs(60)).stale_after(Duration::ZERO);
        let options = if let Some(patience) = patience { options.patience(patience) } else { options };
        let dump = options.take();
        check(&dump, max_value_bytes, max_bytes);
        let again = options.take();
        assert_eq!(timeless(&dump.to_json()), timeless(&again.to_json()));
        let (mut text, mut json) = (Vec::new(), Vec::new());
        options.write_text(&mut text).unwrap();
        check_text(str::from_utf8(&text).unwrap(), dump.contexts().len());
        options.write_json(&mut json).unwrap();
        assert_eq!(timeless(str::from_utf8(&json).unwrap()), timeless(&dump.to_json()));
        let diff = DumpDiff::from_json(&dump.to_json(), &again.to_json()).unwrap();
        check_text(&diff.to_string(), 0);
        assert_eq!(diff.changed().count(), 0, "{diff}");
        assert!(!diff.to_json().contains(MARKER));
    }
}
