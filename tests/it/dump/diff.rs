//! The difference of two dumps.

use std::thread;

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use threadctx::{DumpDiff, Key, get_thread_ctx};

use super::of;
use crate::support::worker::Worker;

fn named(name: &str) -> Worker {
    Worker::with(thread::Builder::new().name(name.to_owned()))
}

fn insert(name: &str, value: impl std::fmt::Debug + Send + Sync + 'static) {
    get_thread_ctx().namespace("diff").insert(name, value).unwrap();
}

#[test]
fn it_tells_who_came_who_went_what_changed_and_who_is_stuck() {
    static STEP: Key<u32> = Key::new("diff", "step").json();
    static TOKEN: Key<&str> = Key::new("diff", "token").secret();
    let (moves, stays, leaves) = (named("moves"), named("stays"), named("leaves"));
    moves.run(|| {
        STEP.set(1);
        TOKEN.set("hunter2");
        insert("kept", "k");
        insert("dropped", 1);
    });
    stays.run(|| STEP.set(7));
    leaves.run(|| STEP.set(8));
    let [moves_id, stays_id, leaves_id] =
        [&moves, &stays, &leaves].map(|worker| format!("{:?}", worker.id()));
    let before = of("diff");
    moves.run(|| {
        STEP.set(2);
        TOKEN.set("hunter3");
        get_thread_ctx().namespace("diff").remove("dropped");
        insert("fresh", "new\n");
    });
    leaves.end();
    let comes = named("comes");
    comes.run(|| STEP.set(9));
    let diff = of("diff").since(&before);
    assert_eq!(diff.added().collect::<Vec<_>>(), [format!("{:?}", comes.id())]);
    assert_eq!(diff.gone().collect::<Vec<_>>(), [leaves_id.as_str()]);
    assert_eq!(diff.changed().collect::<Vec<_>>(), [moves_id.as_str()]);
    assert_eq!(diff.stuck().collect::<Vec<_>>(), [stays_id.as_str()]);
    let text = diff.to_string();
    for line in [
        "1 stuck, 1 changed, 1 added, 1 gone, 0 others",
        &format!("= \"stays\"  {stays_id}"),
        "    diff.step = 7",
        &format!("~ \"moves\"  {moves_id}"),
        &format!("+ \"comes\"  {:?}", comes.id()),
        "    diff.step = 9",
        &format!("- \"leaves\"  {leaves_id}"),
        "    diff.step = 8",
        "  ~ diff.step = 1 -> 2",
        "  - diff.dropped = 1",
        "  + diff.fresh = \"new\\n\"",
        "    diff.token = <secret &str>  written again",
    ] {
        assert!(text.lines().any(|have| have.starts_with(line)), "no {line} in\n{text}");
    }
    assert!(!text.contains("kept") && !text.contains("hunter"), "{text}");
    let json: Value = serde_json::from_str(&diff.to_json()).unwrap();
    assert_eq!((&json["schema"], &json["same_process"]), (&json!("threadctx.diff/1"), &json!(true)));
    assert_eq!(json["changed"][0]["values"].as_array().unwrap().len(), 4);
    assert_eq!(json["gone"][0]["name"], "leaves");
}

/// A context as a dump's JSON has it, with what a reader may leave out left out.
fn dump(uptime_us: u64, pid: u64, cpu_us: Option<u64>, age_us: u64, value: Value) -> String {
    let mut context = json!({
        "ident": "ThreadId(7)", "to come": [1],
        "values": [{ "namespace": "a", "name": "b", "shown": "json", "value": value, "age_us": age_us }],
    });
    if let Some(cpu_us) = cpu_us {
        context["cpu_us"] = json!(cpu_us);
    }
    json!({ "process": { "pid": pid, "uptime_us": uptime_us }, "contexts": [context], "complete": true, "to come": 1 })
        .to_string()
}

#[test]
fn two_files_will_do_whatever_fields_they_lack_or_have_more() {
    let before = dump(10_000_000, 1, Some(500), 1_000_000, json!({ "x": 1 }));
    let diff = |after: &str| DumpDiff::from_json(&before, after).unwrap();
    let stuck = diff(&dump(70_000_000, 1, Some(500), 61_000_000, json!({ "x": 1 })));
    assert_eq!(stuck.stuck().collect::<Vec<_>>(), ["ThreadId(7)"]);
    assert!(stuck.to_string().contains("  no write, no CPU used in 1m00s"), "{stuck}");
    // It has run meanwhile; it was written meanwhile; the system does not tell.
    let ran = diff(&dump(70_000_000, 1, Some(9_000_000), 61_000_000, json!({ "x": 1 })));
    assert_eq!((ran.stuck().count(), ran.changed().count()), (0, 0));
    assert!(ran.to_string().contains(", 1 others"), "{ran}");
    // A thousandth of the minute is as good as nothing, and what is more is not.
    for (cpu_us, stuck) in [(60_500, 1), (60_501, 0)] {
        let diff = diff(&dump(70_000_000, 1, Some(cpu_us), 61_000_000, json!({ "x": 1 })));
        assert_eq!(diff.stuck().count(), stuck, "{cpu_us}");
    }
    let written = diff(&dump(70_000_000, 1, Some(500), 5_000_000, json!({ "x": 1 })));
    assert_eq!((written.stuck().count(), written.changed().count()), (0, 1));
    // The coarse clock may be behind by as much as this.
    for (age_us, changed) in [(60_980_000, 0), (60_979_999, 1)] {
        let diff = diff(&dump(70_000_000, 1, Some(500), age_us, json!({ "x": 1 })));
        assert_eq!(diff.changed().count(), changed, "{age_us}");
    }
    let unknown = diff(&dump(70_000_000, 1, None, 61_000_000, json!({ "x": 1 })));
    assert_eq!(unknown.stuck().count(), 1);
    assert!(!unknown.to_string().contains("CPU"));
    let changed = diff(&dump(70_000_000, 1, Some(500), 5_000_000, json!({ "x": 2 })));
    assert!(changed.to_string().contains("~ a.b = {\"x\":1} -> {\"x\":2}"), "{changed}");
    // The idents of another process are other threads'.
    let other = diff(&dump(70_000_000, 2, Some(500), 61_000_000, json!({ "x": 1 })));
    assert_eq!((other.added().count(), other.gone().count(), other.stuck().count()), (1, 1, 0));
    assert!(other.to_string().contains("different processes"), "{other}");
    let incomplete = DumpDiff::from_json(r#"{"contexts":[]}"#, &before).unwrap();
    assert!(incomplete.to_string().contains("not complete"), "{incomplete}");
    let error = DumpDiff::from_json(&before, "[").unwrap_err().to_string();
    assert!(error.starts_with("the later dump cannot be read: "), "{error}");
}

/// Nested more deeply than a parser of JSON values goes.
#[derive(serde::Serialize)]
enum Nested {
    Leaf,
    In(Box<Nested>),
}

fn nested(depth: usize) -> Nested {
    (0..depth).fold(Nested::Leaf, |inner, _| Nested::In(Box::new(inner)))
}

fn raw(json: &str) -> Box<serde_json::value::RawValue> {
    serde_json::value::RawValue::from_string(json.to_owned()).unwrap()
}

/// What a serializer may write, and a parser of JSON values refuses or changes.
#[test]
fn values_that_a_parser_would_not_take_as_they_are_compare_and_read_back() {
    static TREE: Key<Nested> = Key::new("diff deep", "tree").json();
    static RAW: Key<Box<serde_json::value::RawValue>> = Key::new("diff deep", "raw").json();
    let worker = Worker::start();
    let options = || threadctx::DumpOptions::new().namespace("diff deep").max_value_bytes(8_192);
    let huge = "9".repeat(500);
    let mut before = None;
    for (step, json) in [
        "1".to_owned(),
        huge.clone(),
        format!("-{huge}.5e999"),
        r#"{"a":1,"a":2}"#.to_owned(),
        r#"{"a":2,"a":1}"#.to_owned(),
        "0.10000000000000000001".to_owned(),
        "0.10000000000000000002".to_owned(),
        r#""\ud800""#.to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let value = raw(&json);
        worker.run(move || {
            TREE.set(nested(130));
            RAW.set(value);
        });
        let now = options().take();
        let Some(then) = before.replace(now.clone()) else { continue };
        let diff = now.since(&then);
        let read = DumpDiff::from_json(&then.to_json(), &now.to_json()).unwrap();
        assert_eq!(diff.to_json(), read.to_json(), "step {step}");
        assert!(diff.to_string().contains(&format!("-> {json}")), "step {step}: {diff}");
        assert!(diff.to_string().contains("diff deep.tree") && diff.to_string().contains("written again"));
    }
}

#[test]
fn a_stuck_context_keeps_its_json_both_ways() {
    static STUCK: Key<Nested> = Key::new("diff stuck", "tree").json();
    let worker = Worker::start();
    worker.run(|| STUCK.set(nested(200)));
    let options = threadctx::DumpOptions::new().namespace("diff stuck").max_value_bytes(8_192);
    let [one, two] = [(); 2].map(|()| options.take());
    let tree = serde_json::to_string(&nested(200)).unwrap();
    for diff in [two.since(&one), DumpDiff::from_json(&one.to_json(), &two.to_json()).unwrap()] {
        assert!(diff.stuck().eq([format!("{:?}", worker.id())]), "{diff}");
        assert!(diff.to_string().contains(&format!("diff stuck.tree = {tree}  ")), "{diff}");
        assert!(diff.to_json().contains(&format!(r#""value":{tree},"#)), "{diff:?}");
    }
}

#[test]
fn ndjson_of_either_writer_reads_back_as_the_json_does() {
    static STEP: Key<u32> = Key::new("diff lines", "step").json();
    let worker = Worker::start();
    let take = |step| {
        worker.run(move || STEP.set(step));
        of("diff lines")
    };
    let (one, two) = (take(1), take(2));
    let lines = |dump: &threadctx::Dump| {
        let mut lines = Vec::new();
        dump.write_ndjson(&mut lines).unwrap();
        String::from_utf8(lines).unwrap()
    };
    let expected = two.since(&one).to_json();
    assert_eq!(DumpDiff::from_json(&lines(&one), &lines(&two)).unwrap().to_json(), expected);
    assert_eq!(DumpDiff::from_json(&one.to_json(), &lines(&two)).unwrap().to_json(), expected);
    // The other writer has its counts in the last line.
    let mut streamed = Vec::new();
    threadctx::DumpOptions::new().namespace("diff lines").write_ndjson(&mut streamed).unwrap();
    let streamed = String::from_utf8(streamed).unwrap();
    let diff = DumpDiff::from_json(&lines(&one), &streamed).unwrap();
    assert_eq!(diff.changed().count(), 1);
    // A part of either is no dump.
    for (text, lines, why) in [
        (lines(&two), 1, "0 of 1 lines of contexts are there"),
        (streamed.clone(), 1, "the last line, with the counts, is missing"),
        (streamed, 2, "the last line, with the counts, is missing"),
    ] {
        let part: String = text.split_inclusive('\n').take(lines).collect();
        let error = DumpDiff::from_json(&part, &one.to_json()).unwrap_err().to_string();
        assert!(error.starts_with("the earlier dump cannot be read: ") && error.contains(why), "{error}");
    }
}

#[test]
fn what_is_no_dump_of_this_schema_is_refused_with_the_reason() {
    let dump = of("diff nothing").to_json();
    for (text, why) in [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("[]", "neither a schema nor contexts"),
        ("7", "it is no JSON (invalid type: integer"),
        ("{}", "neither a schema nor contexts"),
        (r#"{"hello":1}"#, "neither a schema nor contexts"),
        (r#"{"schema":"threadctx.dump/2","contexts":[]}"#, "its schema is \"threadctx.dump/2\""),
        (&format!("{dump} {dump}"), "something follows the dump"),
        (&format!("{dump} x"), "it is no JSON"),
    ] {
        let error = DumpDiff::from_json(&dump, text).unwrap_err();
        let said = error.to_string();
        assert!(said.starts_with("the later dump cannot be read: ") && said.contains(why), "{text}: {said}");
        assert!(std::error::Error::source(&error).is_none(), "its text says all");
    }
    // The first release wrote neither the clock of the ages nor when the process started.
    let old = r#"{"schema":"threadctx.dump/1","captured_at":"2026-11-23T01:07:34.120Z","complete":true,
        "process":{"pid":7,"name":"a","uptime_us":UP},"contexts":[{"ident":"ThreadId(7)","values":[
        {"namespace":"a","name":"b","type":"u8","value":1,"age_us":5,"writes":1,"shown":"json"}]}]}"#;
    let [one, two] = ["1000000", "2000000"].map(|up| old.replace("UP", up));
    assert_eq!(
        DumpDiff::from_json(&one, &two).unwrap().changed().count(),
        1,
        "written again, a second later"
    );
}

/// The dump as it would be a second later, after a change of its process.
fn changed_process(dump: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut json: Value = serde_json::from_str(dump).unwrap();
    let captured = json["captured_us"].as_u64().unwrap();
    json["captured_us"] = (captured + 1_000_000).into();
    change(&mut json["process"]);
    json.to_string()
}

#[test]
fn a_process_is_its_pid_its_start_and_its_boot_and_not_its_name() {
    static STEP: Key<u32> = Key::new("diff process", "step").json();
    let worker = Worker::start();
    worker.run(|| STEP.set(1));
    let one = of("diff process").to_json();
    worker.run(|| STEP.set(2));
    let two = of("diff process").to_json();
    let different = "The dumps are of different processes";
    for (change, is_same) in [
        ((|process| process["name"] = json!("upgraded")) as fn(&mut Value), true),
        (|process| process["start_ticks"] = json!(1), false),
        (|process| process["boot_id"] = json!("another boot"), false),
        (|process| process["image_id"] = json!("what was executed"), false),
        (|process| process["image_id"] = Value::Null, true),
        (|process| process["pid"] = json!(1), false),
    ] {
        let two = changed_process(&two, change);
        let diff = DumpDiff::from_json(&one, &two).unwrap();
        assert_eq!(diff.to_string().contains(different), !is_same, "{diff}");
        assert_eq!(diff.changed().count(), usize::from(is_same));
        // In the wrong order they say the same.
        let turned = DumpDiff::from_json(&two, &one).unwrap();
        assert_eq!(turned.to_json() == diff.to_json(), is_same, "{turned}");
    }
}

/// The process's age, which an older dump has alone, goes on while the machine sleeps; the time of the capture does not.
#[test]
fn a_dump_with_the_time_of_its_capture_and_one_without_are_told_apart_by_the_processs_age() {
    let old = dump(60_000_000, 4, None, 0, json!(1));
    let with_time = |captured_us: u64, uptime_us| {
        let mut new: Value = serde_json::from_str(&dump(uptime_us, 4, None, 0, json!(1))).unwrap();
        new["captured_us"] = json!(captured_us);
        new.to_string()
    };
    let new = |uptime_us| with_time(3_000_000, uptime_us);
    for (one, other, elapsed_us) in [
        (&old, new(61_000_000), 1_000_000),
        (&old, new(58_000_000), 2_000_000),
        // Here the machine slept for a minute.
        (&new(60_000_000), with_time(4_500_000, 121_500_000), 1_500_000),
    ] {
        for (one, two) in [(one, &other), (&other, one)] {
            let diff = DumpDiff::from_json(one, two).unwrap();
            let diff: Value = serde_json::from_str(&diff.to_json()).unwrap();
            assert_eq!(diff["elapsed_us"], elapsed_us);
        }
    }
}

/// JSON as a serializer may write it: any depth and range, keys that come twice, halves of characters.
fn any_json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?(e[+-]?[0-9]{1,4})?";
    let text = r#""([a-z\u{e9}\u{1f44d} ]|\\u[0-9a-f]{4}|\\["\\/nt]){0,8}""#;
    let leaf = prop_oneof![number, text, Just("null".to_owned()), Just("true".to_owned())];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let field = ("[a-c]", inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            vec(field, 0..4).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            (inner, 100..200_usize).prop_map(|(inner, deep)| "[".repeat(deep) + &inner + &"]".repeat(deep)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn a_difference_is_the_same_from_dumps_from_json_and_from_ndjson(one in any_json(), two in any_json(), changes: bool) {
        static VALUE: Key<Box<serde_json::value::RawValue>> = Key::new("diff any", "value").json();
        let worker = Worker::start();
        let options = threadctx::DumpOptions::new().namespace("diff any").max_value_bytes(1 << 16);
        let before = raw(&one);
        worker.run(move || VALUE.set(before));
        let before = options.take();
        if changes {
            let after = raw(&two);
            worker.run(move || VALUE.set(after));
        }
        let after = options.take();
        let diff = after.since(&before);
        let expected = diff.to_json();
        let forms = |dump: &threadctx::Dump| {
            let mut lines = Vec::new();
            dump.write_ndjson(&mut lines).unwrap();
            [dump.to_json(), String::from_utf8(lines).unwrap()]
        };
        for (before, after) in forms(&before).into_iter().zip(forms(&after)) {
            let read = DumpDiff::from_json(&before, &after).unwrap();
            prop_assert_eq!(read.to_json(), expected.as_str());
        }
        if changes {
            prop_assert_eq!(diff.changed().count(), 1);
        } else {
            prop_assert_eq!(diff.stuck().count(), 1, "{}", diff);
        }
    }
}
