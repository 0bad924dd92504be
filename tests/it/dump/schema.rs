//! The JSON Schema in the docs describes what real dumps are.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use threadctx::{DumpOptions, Key, get_thread_ctx};

use crate::support::worker::Worker;

const SCHEMA: &str = include_str!("../../../docs/threadctx.dump-1.schema.json");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).expect("the schema is JSON")
}

/// The schema, and with it that there are no other fields than those that it describes.
fn strict(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        if object.contains_key("properties") && object.get("type") == Some(&json!("object")) {
            object.insert("additionalProperties".to_owned(), json!(false));
        }
        object.values_mut().for_each(strict);
    }
}

fn assert_valid(schema: &Value, instance: &Value) {
    let validator = jsonschema::validator_for(schema).expect("the schema is one");
    let errors: Vec<_> =
        validator.iter_errors(instance).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?} in {instance:#}");
}

struct Panics;

impl fmt::Debug for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("expected")
    }
}

/// A context with a value of every kind, and of every kind of trouble; the only one for as long as the result is kept.
fn worker() -> (Worker, MutexGuard<'static, ()>) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    static JSON: Key<Vec<u8>> = Key::new("schema", "json").json();
    static SHOWN: Key<String> = Key::new("schema", "display").display();
    let worker = Worker::with(thread::Builder::new().name("schema".to_owned()));
    worker.run(|| {
        JSON.set(vec![1, 2]);
        SHOWN.set("shown".to_owned());
        let namespace = get_thread_ctx().namespace("schema");
        namespace.insert("debug", Some(1)).unwrap();
        namespace.insert("long", "x".repeat(100)).unwrap();
        namespace.insert_opaque("opaque", ()).unwrap();
        namespace.insert_secret("secret", ()).unwrap();
        namespace.insert("panics", Panics).unwrap();
    });
    (worker, turn)
}

fn options() -> DumpOptions {
    DumpOptions::new().namespace("schema").max_value_bytes(50).stale_after(Duration::ZERO)
}

#[test]
fn a_dump_is_what_the_schema_says_and_has_no_other_fields() {
    let _worker = worker();
    let dump: Value = serde_json::from_str(&options().take().to_json()).unwrap();
    assert_eq!(dump["contexts"][0]["values"].as_array().unwrap().len(), 7);
    assert_eq!(dump["findings"][0]["code"], "stale");
    assert_valid(&schema(), &dump);
    let mut schema = schema();
    strict(&mut schema);
    assert_valid(&schema, &dump);
}

#[test]
fn each_line_of_ndjson_is_what_the_schema_says() {
    let _worker = worker();
    let mut text = Vec::new();
    options().write_ndjson(&mut text).unwrap();
    let lines: Vec<Value> =
        String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut schema = schema();
    strict(&mut schema);
    assert_eq!(lines.len(), 3);
    assert_valid(&schema, &lines[0]);
    assert_valid(&schema, &lines[2]);
    let mut context = schema.clone();
    context.as_object_mut().unwrap().remove("properties");
    context.as_object_mut().unwrap().remove("additionalProperties");
    context["$ref"] = json!("#/$defs/context");
    assert_valid(&context, &lines[1]);
}

#[test]
fn the_schema_finds_what_is_wrong() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    assert!(validator.is_valid(&json!({})), "every field is optional");
    assert!(validator.is_valid(&json!({ "to come": 1 })));
    for wrong in [
        json!({ "schema": "threadctx.dump/2" }),
        json!({ "contexts": {} }),
        json!({ "counts": { "values": -1 } }),
        json!({ "contexts": [{ "values": [{ "shown": "secret", "value": "hunter2" }] }] }),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
