//! The JSON: the fields that tools rely on.

use std::{
    collections::BTreeSet,
    future,
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use threadctx::{DumpOptions, FutureExt, Ident, Key, Snapshot, contexts, dump, get_thread_ctx};

use super::{of, parsed, value};
use crate::support::worker::Worker;

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// RFC 3339, in UTC, to the millisecond.
fn is_time(text: &str) -> bool {
    let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(c, p)| if p == 'd' { c.is_ascii_digit() } else { c == p })
}

#[test]
fn the_frame_says_what_it_is_of_whom_and_under_which_limits() {
    let json = parsed(&dump());
    for field in ["schema", "complete", "captured_at", "process", "limits", "counts", "contexts"] {
        assert!(keys(&json).contains(field), "{field}");
    }
    assert_eq!(json["schema"], "threadctx.dump/1");
    assert!(json["complete"].is_boolean());
    assert!(is_time(json["captured_at"].as_str().unwrap()), "{}", json["captured_at"]);
    assert_eq!(json["process"]["pid"], std::process::id());
    assert!(json["process"]["name"].as_str().unwrap().starts_with("it-"));
    assert!(json["process"]["uptime_us"].is_u64());
    // The limits are those that the contract gives to a dump without options.
    let limits = json!({
        "max_contexts": 10_000, "max_value_bytes": 1_024, "max_bytes": 16 << 20, "budget_us": 1_000_000
    });
    assert_eq!(json["limits"], limits);
    for count in ["contexts", "values", "secret", "truncated", "busy", "left_out"] {
        assert!(json["counts"][count].is_u64(), "{count}");
    }
}

#[test]
fn values_of_simple_types_are_shown_as_they_are() {
    const NS: &str = "json simple";
    /// Each as JSON, which is the type's own, and by name, as its `Debug` has it.
    macro_rules! shown {
        ($($name:literal: $of:ty = $value:expr,)*) => {$(
            static_key!($name, $of).set($value);
            get_thread_ctx().namespace(NS).insert(concat!($name, " by name"), $value).unwrap();
            let dump = of(NS);
            assert_eq!(value(&dump, $name)["value"], json!($value), $name);
            assert_eq!(value(&dump, concat!($name, " by name"))["value"], format!("{:?}", $value), $name);
        )*};
    }
    macro_rules! static_key {
        ($name:literal, $of:ty) => {{
            static KEY: Key<$of> = Key::new(NS, $name).json();
            &KEY
        }};
    }
    shown! {
        "bool": bool = true,
        "char": char = 'ä',
        "u8": u8 = u8::MAX,
        "u16": u16 = u16::MAX,
        "u32": u32 = u32::MAX,
        "u64": u64 = u64::MAX,
        "usize": usize = usize::MAX,
        "i8": i8 = i8::MIN,
        "i16": i16 = i16::MIN,
        "i32": i32 = i32::MIN,
        "i64": i64 = i64::MIN,
        "isize": isize = isize::MIN,
        "f32": f32 = 0.5,
        "f64": f64 = -0.25,
        "text": &'static str = "text",
        "duration": Duration = Duration::new(1, 2),
    }
    let now = Instant::now();
    get_thread_ctx().namespace(NS).insert("instant", now).unwrap();
    assert_eq!(value(&of(NS), "instant")["value"], format!("{now:?}"));
}

#[test]
fn a_context_says_who_and_where_it_is() {
    let worker = Worker::with(thread::Builder::new().name("json".to_owned()));
    worker.run(|| drop(get_thread_ctx().namespace("json context").insert("name", 1).unwrap()));
    let handle = worker.handle();
    let json = parsed(&of("json context"));
    assert_eq!(json["contexts"].as_array().unwrap().len(), 1);
    let context = &json["contexts"][0];
    assert_eq!(context["ident"], handle.ident().to_string());
    assert_eq!(context["kind"], "thread");
    assert_eq!(context["name"], "json");
    assert_eq!(context["os_tid"].as_u64(), handle.os_tid());
    assert_eq!(context["state"], "running");
    assert!(context.get("parent").is_none_or(Value::is_null));
    assert!(context["registered_us_ago"].is_u64());
    assert!(context["last_write_us_ago"].as_u64() <= context["registered_us_ago"].as_u64());
    assert_eq!(json["counts"]["contexts"], 1);
    assert_eq!(json["counts"]["values"], 1);
    assert_eq!(json["complete"], true);
}

#[test]
fn each_kind_of_value_shows_what_its_key_says_and_no_more() {
    #[derive(Debug, serde::Serialize)]
    struct Item {
        id: u32,
    }
    impl std::fmt::Display for Item {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "item no. {}", self.id)
        }
    }
    static DEBUG: Key<Item> = Key::new("json kinds", "debug").debug();
    static DISPLAY: Key<Item> = Key::new("json kinds", "display").display();
    static JSON: Key<Item> = Key::new("json kinds", "json").json();
    static OPAQUE: Key<Item> = Key::new("json kinds", "opaque");
    static SECRET: Key<Item> = Key::new("json kinds", "secret").secret();
    let worker = Worker::start();
    worker.run(|| {
        [&DEBUG, &DISPLAY, &JSON, &OPAQUE, &SECRET].iter().for_each(|key| key.set(Item { id: 7 }));
        let namespace = get_thread_ctx().namespace("json kinds");
        namespace.insert("n debug", Item { id: 7 }).unwrap();
        namespace.insert_json("n json", Item { id: 7 }).unwrap();
        namespace.insert_opaque("n opaque", Item { id: 7 }).unwrap();
        namespace.insert_secret("n secret", Item { id: 7 }).unwrap();
    });
    let dump = of("json kinds");
    for (name, expected) in [
        ("debug", Some(json!("Item { id: 7 }"))),
        ("n debug", Some(json!("Item { id: 7 }"))),
        ("display", Some(json!("item no. 7"))),
        // JSON stands there as JSON, not as a text with JSON in it.
        ("json", Some(json!({ "id": 7 }))),
        ("n json", Some(json!({ "id": 7 }))),
        ("opaque", None),
        ("n opaque", None),
        ("secret", None),
        ("n secret", None),
    ] {
        let value = value(&dump, name);
        assert_eq!(value["namespace"], "json kinds");
        assert_eq!(value.get("value"), expected.as_ref(), "{name}");
        assert!(value["type"].as_str().unwrap().ends_with("Item"), "{value}");
        let has_age = !name.ends_with("opaque");
        assert_eq!(value.get("age_us").is_some_and(Value::is_u64), has_age, "{name}: ages on all but opaque");
        assert!(value["shown"].is_string());
        match name.trim_start_matches("n ") {
            "json" => assert_eq!(value["shown"], "json"),
            "secret" => assert_eq!(value["shown"], "secret"),
            _ => assert!(value["shown"] != "json" && value["shown"] != "secret"),
        }
    }
    assert_eq!(parsed(&dump)["counts"]["secret"], 2);
}

#[test]
fn of_several_ways_to_show_the_last_one_counts() {
    static KEY: Key<u8> = Key::new("json kinds 2", "last").json().display().debug();
    let worker = Worker::start();
    worker.run(|| KEY.set(7));
    assert_eq!(value(&of("json kinds 2"), "last")["value"], "7");
}

#[test]
fn the_values_are_sorted_and_each_is_there_once() {
    static KEY: Key<u8> = Key::new("json order", "m").debug();
    let worker = Worker::start();
    worker.run(|| {
        let ctx = get_thread_ctx();
        for (namespace, name) in
            [("json order", "z"), ("json order", "m"), ("json order", "a"), ("json order 2", "b")]
        {
            ctx.namespace(namespace).insert(name, 1_u8).unwrap();
        }
        KEY.set(2);
    });
    let json = parsed(&DumpOptions::new().namespace("json order*").take());
    let values = json["contexts"][0]["values"].as_array().unwrap();
    let names: Vec<_> = values.iter().map(|value| value["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "m", "z", "b"]);
}

#[test]
fn writes_are_counted_and_ages_go_by_the_last_one() {
    static KEY: Key<u8> = Key::new("json writes", "key").debug();
    let worker = Worker::start();
    worker.run(|| (0..5).for_each(|n| KEY.set(n)));
    let first = value(&of("json writes"), "key");
    assert_eq!(first["writes"], 5);
    worker.run(|| drop((KEY.update(|value| *value += 1), KEY.replace(9))));
    let second = value(&of("json writes"), "key");
    assert_eq!((&second["writes"], &second["value"]), (&json!(7), &json!("9")));
}

#[test]
fn the_age_of_what_a_snapshot_hid_counts_from_when_it_came_back() {
    static KEY: Key<u8> = Key::new("json snapshots", "key").debug().inherit();
    KEY.set(1);
    let other = Snapshot::capture();
    KEY.set(2);
    let age = || value(&of("json snapshots"), "key")["age_us"].as_u64().expect("a visible value has one");
    let entered = other.enter();
    thread::sleep(Duration::from_millis(300));
    let inside = age();
    drop(entered);
    let after = age();
    assert!(inside >= 250_000 && after < inside, "{inside} us, then {after}");
}

#[test]
fn a_write_through_any_static_of_a_visible_key_has_an_age() {
    static SILENT: Key<u8> = Key::new("json ages", "key");
    static SHOWS: Key<u8> = Key::new("json ages", "key").debug();
    assert!(SHOWS.check().is_ok());
    let worker = Worker::start();
    worker.run(|| SILENT.set(1));
    let seen = value(&of("json ages"), "key");
    assert_eq!(seen["value"], "1");
    assert!(seen["age_us"].is_u64(), "a visible value has an age: {seen}");
}

/// However it was written before: in place, or after somebody had a count of it.
#[test]
fn what_is_there_when_its_key_becomes_visible_has_an_age_from_its_next_write_on() {
    static SILENT: Key<u8> = Key::new("json ages later", "key");
    static SHOWS: Key<u8> = Key::new("json ages later", "key").debug();
    let (in_place, shared) = (Worker::start(), Worker::start());
    in_place.run(|| (0..3).for_each(|n| SILENT.set(n)));
    shared.run(|| (SILENT.set(1), drop(SILENT.get())));
    assert!(SHOWS.check().is_ok());
    let seen = || {
        let dump = parsed(&of("json ages later"));
        let contexts = dump["contexts"].as_array().expect("a list").iter();
        let values = contexts.map(|context| context["values"][0].clone());
        values.map(|value| (value["age_us"].is_u64(), value["writes"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(seen(), [(false, Value::Null), (false, Value::Null)]);
    for writes in 1..4 {
        in_place.run(|| SILENT.set(9));
        shared.run(|| SILENT.set(9));
        assert_eq!(seen(), [(true, json!(writes)), (true, json!(writes))]);
    }
}

/// Whatever it is that makes it visible, and however the value came.
#[test]
fn a_value_that_came_unseen_has_an_age_from_its_next_write_on() {
    const NS: &str = "json ages unseen";
    let age_after_a_write = |name: &str, set: fn()| {
        let before = value(&of(NS), name);
        assert_eq!(before.get("age_us"), None, "{before}");
        set();
        let after = value(&of(NS), name);
        assert!(after["age_us"].is_u64(), "{after}");
    };

    static BY_NAME: Key<u8> = Key::new(NS, "secret by name");
    BY_NAME.set(1);
    BY_NAME.set(2);
    age_after_a_write("secret by name", || {
        drop(get_thread_ctx().namespace(NS).insert_secret("secret by name", 3_u8).unwrap());
    });

    static OF_NAME: Key<u8> = Key::new(NS, "opaque name").debug();
    drop(get_thread_ctx().namespace(NS).insert_opaque("opaque name", 1_u8).unwrap());
    assert_eq!(OF_NAME.cloned(), Some(1), "the key has taken it over");
    age_after_a_write("opaque name", || OF_NAME.set(2));

    static TRAVELS: Key<u8> = Key::new(NS, "travels").inherit();
    static SHOWS: Key<u8> = Key::new(NS, "travels").debug();
    TRAVELS.set(1);
    threadctx::spawn(move || {
        assert!(SHOWS.check().is_ok());
        TRAVELS.set(2);
        let seen = value(&get_thread_ctx().handle().dump(), "travels");
        assert!(seen["age_us"].is_u64(), "{seen}");
    })
    .join()
    .unwrap();
    age_after_a_write("travels", || TRAVELS.set(2));
}

#[test]
fn an_opaque_name_has_no_age_of_what_was_there_before() {
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("json ages before");
        namespace.insert("visible", 1).unwrap();
        assert!(namespace.remove("visible"));
        // Where the other one was.
        namespace.insert_opaque("opaque", 2).unwrap();
    });
    let seen = value(&of("json ages before"), "opaque");
    assert_eq!((seen.get("age_us"), seen.get("writes")), (None, None), "{seen}");
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("json ages before");
        namespace.insert("opaque", 3).unwrap();
        namespace.insert_opaque("opaque", 4).unwrap();
    });
    let seen = value(&of("json ages before"), "opaque");
    assert_eq!((seen.get("age_us"), seen.get("writes")), (None, None), "{seen}");
}

#[test]
fn a_key_that_nothing_shows_has_no_age_of_the_name_that_it_takes_over() {
    static KEY: Key<u8> = Key::new("json ages of names", "name");
    let worker = Worker::start();
    worker.run(|| drop(get_thread_ctx().namespace("json ages of names").insert("name", 1_u8).unwrap()));
    assert!(value(&of("json ages of names"), "name")["age_us"].is_u64());
    worker.run(|| KEY.set(2));
    let seen = value(&of("json ages of names"), "name");
    assert_eq!((seen.get("age_us"), seen.get("writes")), (None, None), "{seen}");
}

#[test]
fn a_value_that_its_key_takes_over_from_a_name_is_shown_as_the_key_says() {
    static KEY: Key<Vec<u8>> = Key::new("json taken over", "name").json();
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("json taken over");
        namespace.insert("name", vec![1_u8]).unwrap();
        namespace.insert("name", vec![1_u8, 2]).unwrap();
    });
    assert_eq!(value(&of("json taken over"), "name")["value"], "[1, 2]");
    // From the key's first use on, wherever that is. To be taken over is not to be written.
    assert!(KEY.check().is_ok());
    let shows_json = || {
        let value = value(&of("json taken over"), "name");
        assert_eq!((&value["value"], &value["writes"]), (&json!([1, 2]), &json!(2)));
    };
    shows_json();
    worker.run(|| assert!(KEY.get().is_some()));
    shows_json();
}

#[test]
fn a_dump_of_one_context_is_a_dump_of_one() {
    let (one, two) = (Worker::start(), Worker::start());
    two.handle();
    one.run(|| drop(get_thread_ctx().namespace("json one").insert("name", 1).unwrap()));
    let handle = one.handle();
    let json = parsed(&handle.dump());
    assert_eq!(json["schema"], "threadctx.dump/1");
    assert_eq!(json["contexts"].as_array().unwrap().len(), 1);
    assert_eq!(json["contexts"][0]["ident"], handle.ident().to_string());
    assert_eq!(json["complete"], true);
    one.end();
    let json = parsed(&handle.dump());
    assert_eq!(json["contexts"][0]["state"], "exited");
    assert_eq!(json["contexts"][0]["values"], json!([]));
}

#[test]
fn each_context_has_its_own_parent_whatever_the_one_before_had() {
    static KEY: Key<u8> = Key::new("json parents", "key").json();
    let workers = [Worker::start(), Worker::start()];
    let task_of = |parent: usize| {
        workers[parent].run(|| {
            let task = async {
                KEY.set(1);
                future::pending::<()>().await;
            };
            let mut task = Box::pin(task.in_context());
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            task
        })
    };
    let parents = [0, 1, 1, 0];
    let _tasks = parents.map(task_of);
    let json = parsed(&of("json parents"));
    let shown: Vec<_> =
        json["contexts"].as_array().unwrap().iter().map(|context| &context["parent"]).collect();
    let expected = parents.map(|parent| Value::from(Ident::from(workers[parent].id()).to_string()));
    assert_eq!(shown, expected.each_ref());
}

/// Panics when it is rendered.
#[derive(Debug)]
struct Angry;

impl serde::Serialize for Angry {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("no {:?}", self);
    }
}

#[test]
fn a_dump_is_the_same_however_it_is_written() {
    static INHERITED: Key<String> = Key::new("json same", "inherited").json().inherit();
    static OPAQUE: Key<u8> = Key::new("json same", "opaque");
    static SHOWN: Key<&str> = Key::new("json same", "shown").display();
    INHERITED.set("as long as it takes to need memory of its own".to_owned());
    let snapshot = Snapshot::capture();
    INHERITED.take();
    let named = thread::Builder::new().name("json \"same\"\n".into());
    let with_all = move || {
        let _entered = snapshot.enter();
        OPAQUE.set(1);
        SHOWN.set("a \"tab\":\t\u{1f600}");
        let names = get_thread_ctx().namespace("json same");
        names.insert_json("angry", Angry).unwrap();
        names.insert_json("cut", "x".repeat(5_000)).unwrap();
        names.insert_json("number", 1.5).unwrap();
        names.insert_json("text", "short").unwrap();
        names.insert_secret("secret", "hunter2").unwrap();
        names.insert("debug", Some(7)).unwrap();
        of("json same")
    };
    let full = named.spawn(with_all).unwrap().join().expect("it does not panic");
    for dump in [full, of("nothing has this namespace")] {
        let json = dump.to_json();
        assert_eq!(serde_json::to_string(&dump).unwrap(), json);
        let mut written = Vec::new();
        dump.write_json(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), json);
        let mut lines = Vec::new();
        dump.write_ndjson(&mut lines).unwrap();
        let lines = String::from_utf8(lines).unwrap();
        let contexts: Vec<Value> =
            lines.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(parsed(&dump)["contexts"], Value::from(contexts));
        assert_eq!(dump.to_string(), dump.clone().to_string(), "it is a picture: it does not change");
    }
}

#[test]
fn a_dump_of_nothing_is_complete() {
    let dump = of("nothing has this namespace");
    assert_eq!(parsed(&dump)["contexts"], json!([]));
    assert!(dump.is_complete());
}

#[test]
fn json_with_line_breaks_of_its_own_stays_on_its_line() {
    let own = "{\n  \"a\": 1,\n  \"text\": \"one\\ntwo\"\n}";
    let value = serde_json::value::RawValue::from_string(own.to_owned()).unwrap();
    get_thread_ctx().namespace("json own lines").insert_json("value", value).unwrap();
    let dump = of("json own lines");
    assert_eq!(dump.contexts()[0].value("json own lines", "value").unwrap().text(), Some(own));
    let mut lines = Vec::new();
    dump.write_ndjson(&mut lines).unwrap();
    let lines = String::from_utf8(lines).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let context: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(context["values"][0]["value"], json!({ "a": 1, "text": "one\ntwo" }));
}

#[test]
fn a_filter_picks_namespaces_and_the_contexts_that_have_them() {
    let worker = Worker::start();
    worker.run(|| {
        for namespace in ["filter http", "filter https", "filter db", "filter HTTP"] {
            get_thread_ctx().namespace(namespace).insert("name", 1).unwrap();
        }
    });
    let other = Worker::start();
    other.run(|| drop(get_thread_ctx().namespace("filter db").insert("name", 1).unwrap()));
    let namespaces = |options: DumpOptions| -> Vec<String> {
        let json = parsed(&options.take());
        let contexts = json["contexts"].as_array().unwrap();
        let values = contexts.iter().flat_map(|context| context["values"].as_array().unwrap());
        values.map(|value| value["namespace"].as_str().unwrap().to_owned()).collect()
    };
    let new = DumpOptions::new;
    assert_eq!(namespaces(new().namespace("filter http")), ["filter http"]);
    assert_eq!(namespaces(new().namespace("filter http*")), ["filter http", "filter https"]);
    assert_eq!(namespaces(new().namespace("f*db")), ["filter db", "filter db"]);
    assert_eq!(
        namespaces(new().namespace("filter HTTP").namespace("filter https")),
        ["filter HTTP", "filter https"]
    );
    assert!(namespaces(new().namespace("filter")).is_empty());
    assert!(contexts().len() >= 2);
}

#[test]
fn each_context_has_its_own_values_in_order_whatever_the_one_before_had() {
    static KEYS: [Key<u32>; 3] =
        [Key::new("json turns", "c"), Key::new("json turns", "a"), Key::new("json turns", "b")];
    fn names(names: &[&str]) {
        let namespace = get_thread_ctx().namespace("json turns");
        names.iter().for_each(|name| assert!(namespace.insert(name, 1_u32).unwrap().is_none()));
    }
    let fills: [fn(); 8] = [
        || KEYS.iter().for_each(|key| key.set(1)),
        || KEYS.iter().rev().for_each(|key| key.set(1)),
        || KEYS[1].set(1),
        || KEYS[2].set(1),
        || names(&["z", "x"]),
        || (),
        || names(&["b2", "a"]),
        || KEYS.iter().for_each(|key| key.set(1)),
    ];
    let workers = fills.map(|fill| {
        let worker = Worker::start();
        worker.run(|| assert!(get_thread_ctx().namespaces().is_empty()));
        worker.run(fill);
        worker
    });
    let json = parsed(&DumpOptions::new().max_contexts(usize::MAX).take());
    let shown = workers.map(|worker| {
        let ident = worker.run(|| get_thread_ctx().ident().to_string());
        let contexts = json["contexts"].as_array().unwrap();
        let context = contexts.iter().find(|context| context["ident"] == ident).expect("it lives");
        let values = context["values"].as_array().unwrap().iter();
        values.map(|value| value["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    });
    assert_eq!(shown, ["a b c", "a b c", "a", "b", "x z", "", "a b2", "a b c"]);
}
