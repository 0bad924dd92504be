//! What is asked for is what is there, and what matters most is there whatever is cut.

use std::{thread, time::Duration};

use threadctx::{Dump, DumpOptions, Ident, Key, get_thread_ctx};

use crate::support::worker::Worker;

fn named(name: &str, body: impl FnOnce() + Send + 'static) -> Worker {
    let worker = Worker::with(thread::Builder::new().name(name.to_owned()));
    worker.run(body);
    worker
}

fn names(dump: &Dump) -> Vec<&str> {
    dump.contexts().iter().map(|context| context.name().unwrap_or("")).collect()
}

fn put(namespace: &'static str, name: &'static str, value: &'static str) -> impl FnOnce() + Send {
    move || drop(get_thread_ctx().namespace(namespace).insert(name, value).unwrap())
}

#[test]
fn threads_are_picked_by_patterns_of_their_names() {
    let _workers = ["pick a-1", "pick a-2", "pick b-1"].map(|name| named(name, put("pick", "x", name)));
    let pick = |pattern: &str| DumpOptions::new().namespace("pick").thread_name(pattern);
    assert_eq!(names(&pick("pick a-*").take()), ["pick a-1", "pick a-2"]);
    assert_eq!(names(&pick("*-1").take()), ["pick a-1", "pick b-1"]);
    assert_eq!(names(&pick("pick b-1").thread_name("*a-2").take()), ["pick a-2", "pick b-1"]);
    assert!(names(&pick("pick").take()).is_empty());
    assert!(pick("pick").take().is_complete(), "what is not asked for is not left out");
}

#[test]
fn contexts_are_picked_by_the_text_of_a_value() {
    static JSON: Key<String> = Key::new("by value", "json").json();
    static SHOWN: Key<u32> = Key::new("by value", "number").display();
    let _one = named("by value 1", || {
        JSON.set("a \"quoted\" text".to_owned());
        SHOWN.set(12);
        get_thread_ctx().namespace("by value, other").insert("debug", "req-9f2c").unwrap();
    });
    let _two = named("by value 2", || {
        SHOWN.set(13);
        get_thread_ctx().namespace("by value").insert_secret("token", "hunter2").unwrap();
    });
    let with = |name, text| DumpOptions::new().value("by value", name, text);
    assert_eq!(names(&with("number", "12").take()), ["by value 1"]);
    assert_eq!(names(&with("number", "1*").take()), ["by value 1", "by value 2"]);
    assert_eq!(names(&with("json", "a \"quoted\" text").take()), ["by value 1"]);
    assert_eq!(
        names(&with("number", "1*").value("by value, other", "debug", "req-*").take()),
        ["by value 1"]
    );
    // A condition on a value does not make it shown where a filter of namespaces hides it.
    let dump = with("number", "12").namespace("by value, other").take();
    let shown: Vec<_> = dump.contexts()[0].values().iter().map(|value| value.namespace()).collect();
    assert_eq!(shown, ["by value, other"]);
    // Nobody finds out what a secret is.
    for guess in ["hunter2", "*", "*hunter*", ""] {
        assert!(names(&with("token", guess).take()).is_empty());
    }
    // What the filter drops does not use up what others need.
    assert_eq!(names(&with("number", "13").max_contexts(1).take()), ["by value 2"]);
    let _large = named("by value 3", || {
        SHOWN.set(14);
        get_thread_ctx().namespace("by value").insert("large", "x".repeat(1_000)).unwrap();
    });
    let _last = named("by value 4", || SHOWN.set(15));
    let dump = with("number", "15").namespace("by value").thread_name("by value*").max_bytes(3_000).take();
    assert_eq!((names(&dump), dump.is_complete()), (vec!["by value 4"], true));
    // Nor does it say that a limit was met, where what is dropped has met it.
    let dump = with("number", "15").namespace("by value").thread_name("by value*").max_bytes(2_200).take();
    assert_eq!(
        (names(&dump), &super::parsed(&dump)["limits_met"]),
        (vec!["by value 4"], &serde_json::json!([]))
    );
}

#[test]
fn contexts_are_picked_and_marked_by_how_long_ago_they_were_written() {
    let _worker = named("stale", put("by age", "x", "y"));
    let options = || DumpOptions::new().namespace("by age");
    assert_eq!(names(&options().stale_for(Duration::ZERO).take()), ["stale"]);
    assert!(names(&options().stale_for(Duration::from_secs(3_600)).take()).is_empty());
    let dump = options().stale_after(Duration::ZERO).take();
    assert!(dump.contexts()[0].is_stale());
    let text = dump.to_string();
    let header = text.lines().find(|line| line.starts_with("\"stale\"")).unwrap();
    assert!(header.contains("ago !!!"), "{text}");
    assert!(text.contains("\nFindings\n  ! \"stale\" "), "{text}");
    assert_eq!(dump.findings()[0].code(), "stale");
    for dump in [options().stale_after(Duration::from_secs(3_600)).take(), options().take()] {
        assert!(!dump.to_string().contains('!') && dump.findings().is_empty());
    }
}

#[test]
fn main_the_stalest_and_the_one_asked_for_survive_a_cut() {
    let workers = ["1", "2", "3", "4", "main", "5"].map(|name| named(name, put("survive", "x", "first")));
    // All but the last have been written again since: that one is the stalest.
    workers[..5].iter().for_each(|worker| {
        worker.run(|| {
            let last = || get_thread_ctx().handle().dump().contexts()[0].last_write_us_ago().unwrap();
            while last() < 30_000 {
                thread::yield_now();
            }
            put("survive", "x", "again")();
        });
    });
    let options = || DumpOptions::new().namespace("survive").budget(Duration::from_secs(60));
    assert_eq!(names(&options().max_contexts(3).take()), ["1", "main", "5"]);
    let asked = || options().keep(Ident::from(workers[2].id()));
    assert_eq!(names(&asked().max_contexts(3).take()), ["3", "main", "5"]);
    assert_eq!(names(&asked().max_contexts(1).take()), ["3"]);
    assert_eq!(names(&asked().max_contexts(0).take()), [""; 0]);
    // So they do where bytes run out.
    let by_bytes = (0..20_000).step_by(50).map(|most| options().max_bytes(most).take());
    let two = by_bytes.into_iter().find(|dump| dump.contexts().len() == 2).unwrap();
    assert_eq!(names(&two), ["main", "5"]);
    assert!(two.to_string().contains("Left out: 4 contexts"), "{two}");
    let mut streamed = Vec::new();
    options().max_contexts(3).group(false).write_text(&mut streamed).unwrap();
    let streamed = String::from_utf8(streamed).unwrap();
    let headers: Vec<_> =
        streamed.lines().filter_map(|line| line.strip_prefix('"')?.split('"').next()).collect();
    assert_eq!(headers, ["1", "main", "5"]);
    assert!(streamed.contains("Left out: 3 contexts"), "{streamed}");
}

#[test]
fn the_thread_that_panics_survives_a_cut() {
    struct DumpsInDrop(std::sync::mpsc::Sender<Dump>);
    impl Drop for DumpsInDrop {
        fn drop(&mut self) {
            let dump = DumpOptions::new().namespace("panicking").max_contexts(1).take();
            self.0.send(dump).unwrap();
        }
    }
    let _older = named("older", put("panicking", "x", "y"));
    let (send, dump) = std::sync::mpsc::channel();
    let panics = move || {
        put("panicking", "x", "y")();
        let _dumps = DumpsInDrop(send);
        panic!("expected");
    };
    let thread = thread::Builder::new().name("panics".to_owned()).spawn(panics).unwrap();
    assert!(thread.join().is_err());
    assert_eq!(names(&dump.try_recv().unwrap()), ["panics"]);
}
