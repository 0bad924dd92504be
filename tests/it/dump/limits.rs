//! Bounds: contexts, bytes of a value, bytes in all, time; and nothing is left out in silence.

use std::{fmt, thread, time::Duration};

use serde_json::{Value, json};
use threadctx::{Dump, DumpOptions, Key, get_thread_ctx};

use super::{line, of, parsed, value};
use crate::support::worker::Worker;

fn workers(count: usize, namespace: &'static str) -> Vec<Worker> {
    let start = |n| {
        let worker = Worker::with(thread::Builder::new().name(format!("limits {n}")));
        worker.run(move || drop(get_thread_ctx().namespace(namespace).insert("number", n).unwrap()));
        worker
    };
    (0..count).map(start).collect()
}

fn names(dump: &Dump) -> Vec<String> {
    let json = parsed(dump);
    json["contexts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|context| context["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn of_too_many_contexts_the_rest_is_left_out_counted_and_said() {
    let _workers = workers(5, "limit contexts");
    let options = DumpOptions::new().namespace("limit contexts");
    let dump = options.clone().max_contexts(3).take();
    assert_eq!(names(&dump), ["limits 0", "limits 1", "limits 2"]);
    let json = parsed(&dump);
    assert_eq!((&json["complete"], &json["limits"]["max_contexts"]), (&json!(false), &json!(3)));
    assert!(json["counts"]["left_out"].as_u64() >= Some(2));
    assert!(!dump.is_complete());
    assert!(dump.to_string().contains(" (limit met: 3 contexts)\n"), "{dump}");
    assert_eq!(json["limits_met"], json!(["max_contexts"]));
    let all = options.max_contexts(5).take();
    assert_eq!(names(&all).len(), 5);
    assert_eq!(parsed(&all)["limits_met"], json!([]));
}

#[test]
fn contexts_that_the_filter_does_not_want_are_not_left_out_by_a_limit() {
    let _workers = workers(2, "limit filtered");
    let _others = workers(3, "limit filtered, others");
    let dump = DumpOptions::new().namespace("limit filtered").max_contexts(2).take();
    assert_eq!(names(&dump).len(), 2);
    let json = parsed(&dump);
    assert_eq!((&json["complete"], &json["counts"]["left_out"]), (&json!(true), &json!(0)));
}

#[test]
fn a_long_value_is_cut_marked_and_stays_valid() {
    static TEXT: Key<String> = Key::new("limit value", "debug").debug();
    static SHOWN: Key<String> = Key::new("limit value", "display").display();
    static JSON: Key<Vec<String>> = Key::new("limit value", "json").json();
    let worker = Worker::start();
    worker.run(|| {
        TEXT.set("ä\"\n".repeat(100));
        SHOWN.set("ä\"\n".repeat(100));
        JSON.set(vec!["ä\"\n".repeat(3); 30]);
        get_thread_ctx().namespace("limit value").insert("short", 1).unwrap();
    });
    for most in [0, 1, 2, 3, 10, 64, 100, 200] {
        let dump = DumpOptions::new().namespace("limit value").max_value_bytes(most).take();
        let json = parsed(&dump);
        let mut cut = 0;
        for name in ["debug", "display", "json"] {
            let value = value(&dump, name);
            assert_eq!(value["truncated"], true, "{name} at {most}");
            // What is no longer whole JSON stands there as a text.
            assert!(value["value"].as_str().unwrap().len() <= most, "{name} at {most}");
            assert!(line(&dump, &format!("limit value.{name}")).contains('…'));
            cut += 1;
        }
        let short = value(&dump, "short");
        let is_short_cut = short.get("truncated") == Some(&Value::Bool(true));
        assert_eq!(is_short_cut, most == 0);
        cut += u64::from(is_short_cut);
        assert_eq!((&json["counts"]["truncated"], &json["complete"]), (&json!(cut), &json!(false)));
        let said = dump.to_string().lines().nth(1).unwrap().to_owned();
        assert!(said.contains(&format!("{cut} truncated")), "{said}");
        let said = dump.to_string().lines().last().unwrap().to_owned();
        assert_eq!(said, format!("Cut: {cut} values (limit: {most} B each)"));
    }
    let whole = DumpOptions::new().namespace("limit value").max_value_bytes(10_000).take();
    assert!(whole.is_complete() && !whole.to_string().contains("Cut: "));
    assert_eq!(value(&whole, "json")["value"].as_array().unwrap().len(), 30);
}

#[test]
fn a_renderer_without_end_is_cut_too() {
    struct Endless;
    impl fmt::Debug for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("and so on, ")?;
            }
        }
    }
    impl serde::Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(std::iter::repeat(1))
        }
    }
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("limit endless");
        namespace.insert("debug", Endless).unwrap();
        namespace.insert_json("json", Endless).unwrap();
    });
    crate::support::watchdog::within_a_minute(|| {
        let dump = of("limit endless");
        for name in ["debug", "json"] {
            assert_eq!(value(&dump, name)["truncated"], true);
        }
    });
}

/// The figures in a dump's frame may have a few digits more than in the smallest dump.
const SLACK: usize = 32;

#[test]
fn no_bound_is_so_small_that_it_is_not_kept() {
    // The frame cannot be left out; with it, nothing may come that does not fit.
    let workers: Vec<_> = (0..3).map(|_| Worker::start()).collect();
    for worker in &workers {
        worker.run(|| _ = get_thread_ctx().namespace("limit small").insert_opaque("a", ()).unwrap());
    }
    let least = of("nobody has this").to_json().len() + SLACK;
    for most in 0..2 * least {
        let json = DumpOptions::new().namespace("limit small").max_bytes(most).take().to_json();
        assert!(json.len() <= most.max(least), "the JSON has {} of {most}: {json}", json.len());
    }
}

/// The names of values and threads here are of the kind that grows when it is escaped.
#[test]
fn both_renderings_stay_below_the_bytes_in_all() {
    let workers: Vec<_> = (0..6)
        .map(|n| {
            let name = format!("limit bytes \u{1}\u{2}\"\\ {n}");
            let worker = Worker::with(thread::Builder::new().name(name));
            worker.run(move || {
                let namespace = get_thread_ctx().namespace("limit bytes\u{1b}");
                for m in 0..6 {
                    let name = format!("{}{m}", "\u{1b}\u{85}\u{10ffff}".repeat(m));
                    namespace.insert(&name, "\u{0}\u{1b}\"\\ä\u{10ffff}".repeat(10 * m)).unwrap();
                    namespace.insert_json(&format!("j{name}"), vec!["\u{0}\u{1b}\"\\"; 10 * m]).unwrap();
                    namespace.insert_opaque(&format!("o{name}"), ()).unwrap();
                }
            });
            worker
        })
        .collect();
    // What is said of the process, the limits and what was left out cannot be left out itself.
    let options =
        || DumpOptions::new().max_contexts(usize::MAX).max_value_bytes(usize::MAX).budget(Duration::MAX);
    let least = options().namespace("nobody has this").take();
    let least = least.to_json().len().max(least.to_string().len()) + SLACK;
    let mut complete = 0;
    for most in (0..3_000).step_by(30).chain((3_000..80_000).step_by(2_000)).chain([16 << 20]) {
        let dump = options().namespace("limit bytes*").max_bytes(most).take();
        let (text, json) = (dump.to_string(), dump.to_json());
        assert!(text.len() <= most.max(least), "the text has {} of {most}", text.len());
        assert!(json.len() <= most.max(least), "the JSON has {} of {most}", json.len());
        let json = parsed(&dump);
        let counts = &json["counts"];
        if dump.is_complete() {
            complete += 1;
            assert_eq!((&counts["contexts"], &counts["values"]), (&json!(6), &json!(6 * 18)));
        } else {
            assert!(text.contains("Left out: ") && text.contains(" (limit met: "), "{text}");
            assert_eq!((&json["complete"], &json["limits_met"]), (&json!(false), &json!(["max_bytes"])));
        }
    }
    assert!(complete > 0, "the largest bound must be enough");
    drop(workers);
}

#[test]
fn names_of_contexts_count_for_the_bytes_in_all() {
    let named = |n: usize| {
        let name = format!("limit names {n} {}", "\u{1}\u{10ffff}".repeat(700));
        let worker = Worker::with(thread::Builder::new().name(name));
        worker.run(|| _ = get_thread_ctx().namespace("limit names").insert_opaque("a", ()).unwrap());
        worker
    };
    let _workers: Vec<_> = (0..3).map(named).collect();
    for most in (3_000..60_000).step_by(500) {
        let dump = DumpOptions::new().namespace("limit names").group(false).max_bytes(most).take();
        let (text, json) = (dump.to_string(), dump.to_json());
        assert!(text.len() <= most && json.len() <= most, "{} and {} of {most}", text.len(), json.len());
        assert!(most < 55_000 || dump.is_complete(), "{most} are enough");
    }
}

#[test]
fn without_time_everything_is_left_out_and_counted() {
    let _workers = workers(3, "limit budget");
    let dump = DumpOptions::new().namespace("limit budget").budget(Duration::ZERO).take();
    let json = parsed(&dump);
    assert_eq!((&json["contexts"], &json["complete"]), (&json!([]), &json!(false)));
    assert!(json["counts"]["left_out"].as_u64() >= Some(3));
    assert_eq!(json["limits"]["budget_us"], 0);
    assert_eq!(json["limits_met"], json!(["budget_us"]));
    assert!(dump.to_string().contains("(limit met: 0ms)"), "{dump}");
    let all = DumpOptions::new().namespace("limit budget").max_contexts(0).budget(Duration::ZERO).take();
    assert_eq!(parsed(&all)["limits_met"], json!(["max_contexts"]), "the first one is enough");
}

#[test]
fn what_outlasts_the_budget_is_kept_and_the_rest_is_left_out_and_counted() {
    /// Takes as long as the whole budget.
    struct Slow(Duration);
    impl fmt::Debug for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let start = std::time::Instant::now();
            while start.elapsed() <= self.0 {
                thread::yield_now();
            }
            f.write_str("slow")
        }
    }
    const BUDGET: Duration = Duration::from_millis(800);
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("limit slow");
        namespace.insert("a", Slow(BUDGET)).unwrap();
        namespace.insert("b", Slow(BUDGET)).unwrap();
        namespace.insert("c", 1).unwrap();
    });
    let dump = DumpOptions::new().namespace("limit slow").budget(BUDGET).take();
    let json = parsed(&dump);
    let values = json["contexts"][0]["values"].as_array().unwrap();
    assert_eq!(values.len(), 1, "{json}");
    assert_eq!(values[0]["value"], "slow");
    assert_eq!(json["complete"], false);
    let left_out: u64 = json["counts"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| name.contains("left_out"))
        .map(|(_, count)| count.as_u64().unwrap())
        .sum();
    assert_eq!(left_out, 2, "{json}");
}

/// The limit falls on each byte of a context and its values once: what is not there is counted, and the dump is not complete.
#[test]
fn whichever_part_no_longer_fits_is_counted_and_the_dump_is_not_complete() {
    static LONG: Key<String> = Key::new("limit parts", "a long text").display();
    static SHORT: Key<u64> = Key::new("limit parts", "short").debug();
    let worker = Worker::start();
    worker.run(|| {
        LONG.set("x".repeat(1_000));
        SHORT.set(7);
    });
    let mut seen = std::collections::BTreeSet::new();
    for max_bytes in (0..5_000).step_by(7) {
        let dump = DumpOptions::new().namespace("limit parts").max_bytes(max_bytes).take();
        let counts = dump.counts();
        let values = dump.contexts().first().map_or(0, |context| context.values().len());
        assert_eq!(
            (counts.contexts + counts.left_out, counts.values),
            (1, values),
            "{max_bytes}: {counts:?}"
        );
        assert_eq!(counts.values + counts.values_left_out, 2 * counts.contexts, "{max_bytes}: {counts:?}");
        assert_eq!(dump.is_complete(), counts.values == 2, "{max_bytes}: {counts:?}");
        assert_eq!(parsed(&dump)["limits_met"].as_array().unwrap().is_empty(), dump.is_complete());
        let names: Vec<_> = dump
            .contexts()
            .iter()
            .flat_map(|context| context.values())
            .map(|value| value.name().to_owned())
            .collect();
        seen.insert((counts.contexts, names));
    }
    // The text of the first value is what does not fit, and then the second value still does.
    assert!(seen.contains(&(1, vec!["short".to_owned()])), "{seen:?}");
    assert_eq!(seen.len(), 5, "nothing, a context alone, either value, both: {seen:?}");
}

#[test]
fn a_stale_context_is_none_of_the_others_that_wrote() {
    let _workers = workers(2, "limit stale others");
    let dump = DumpOptions::new().namespace("limit stale others").stale_after(Duration::ZERO).take();
    let json = parsed(&dump);
    let others: Vec<_> =
        json["findings"].as_array().unwrap().iter().map(|finding| &finding["others"]).collect();
    assert_eq!(others, [1, 1], "each is stale beside the other one");
    let _third = workers(1, "limit stale others");
    let dump = DumpOptions::new().namespace("limit stale others").stale_after(Duration::ZERO).take();
    assert!(dump.to_string().contains("while 2 others wrote within 1s"), "{dump}");
}

/// A client may have given a name, by the path of its request.
#[test]
fn a_long_name_of_a_task_or_thread_is_cut_in_every_form() {
    use threadctx::FutureExt;
    let long = "n".repeat(60_000);
    let worker = Worker::with(thread::Builder::new().name(long.clone()));
    let (handle, name) = (worker.handle(), long.clone());
    let task = async {}.in_context().named(name);
    for context in [handle, task.handle()] {
        let dump = context.dump();
        let cut = format!("{}\u{2026}", &long[..256]);
        assert_eq!(dump.contexts()[0].name(), Some(&*cut));
        let mut lines = Vec::new();
        dump.write_ndjson(&mut lines).unwrap();
        for text in [dump.to_string(), dump.to_json(), String::from_utf8(lines).unwrap()] {
            assert!(text.len() < 2_000 && text.contains(&cut), "{} bytes", text.len());
        }
        assert_eq!(context.name(), Some(&*long), "the handle has all of it");
    }
}

#[test]
fn a_long_name_of_a_value_or_namespace_is_cut_in_every_form() {
    let long = "v".repeat(60_000);
    let (worker, name) = (Worker::start(), long.clone());
    worker.run(move || {
        for (namespace, name) in [(&*name, "short"), ("long names", &*name)] {
            drop(get_thread_ctx().namespace(namespace).insert(name, 1).unwrap());
        }
    });
    let dump = worker.handle().dump();
    assert!(dump.contexts()[0].value(&long, "short").is_some(), "the dump has all of it");
    let mut lines = Vec::new();
    dump.write_ndjson(&mut lines).unwrap();
    let cut = format!("{}\u{2026}", &long[..256]);
    for text in [dump.to_string(), dump.to_json(), String::from_utf8(lines).unwrap()] {
        assert!(text.len() < 3_000, "{} bytes", text.len());
        assert_eq!(text.matches(&cut).count(), 2, "{text}");
    }
}
