//! The difference of two dumps.

use std::thread;

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
    assert_eq!(diff.gone().collect::<Vec<_>>(), [leaves_id]);
    assert_eq!(diff.changed().collect::<Vec<_>>(), [moves_id.as_str()]);
    assert_eq!(diff.stuck().collect::<Vec<_>>(), [stays_id]);
    let text = diff.to_string();
    for line in [
        "1 stuck, 1 changed, 1 added, 1 gone, 0 others",
        &format!("~ \"moves\"  {moves_id}"),
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
    let written = diff(&dump(70_000_000, 1, Some(500), 5_000_000, json!({ "x": 1 })));
    assert_eq!((written.stuck().count(), written.changed().count()), (0, 1));
    let unknown = diff(&dump(70_000_000, 1, None, 61_000_000, json!({ "x": 1 })));
    assert_eq!(unknown.stuck().count(), 1);
    assert!(!unknown.to_string().contains("CPU"));
    let changed = diff(&dump(70_000_000, 1, Some(500), 5_000_000, json!({ "x": 2 })));
    assert!(changed.to_string().contains("~ a.b = {\"x\":1} -> {\"x\":2}"), "{changed}");
    // The idents of another process are other threads'.
    let other = diff(&dump(70_000_000, 2, Some(500), 61_000_000, json!({ "x": 1 })));
    assert_eq!((other.added().count(), other.gone().count(), other.stuck().count()), (1, 1, 0));
    assert!(other.to_string().contains("different processes"), "{other}");
    let incomplete = DumpDiff::from_json("{}", &before).unwrap();
    assert!(incomplete.to_string().contains("not complete"), "{incomplete}");
    let error = DumpDiff::from_json(&before, "[").unwrap_err().to_string();
    assert!(error.starts_with("the later dump cannot be read: "), "{error}");
}
