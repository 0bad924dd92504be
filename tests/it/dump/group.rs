//! Contexts that show the same share a text.

use std::{thread, time::Duration};

use threadctx::{DumpOptions, get_thread_ctx};

use super::{of, stateless};
use crate::support::worker::Worker;

fn pool(prefix: &str, namespace: &'static str, values: &[&'static str]) -> Vec<Worker> {
    let start = |(n, value): (usize, &&'static str)| {
        let worker = Worker::with(thread::Builder::new().name(format!("{prefix}-{n}")));
        let value = *value;
        worker.run(move || drop(get_thread_ctx().namespace(namespace).insert("role", value).unwrap()));
        worker
    };
    values.iter().enumerate().map(start).collect()
}

fn header(text: &str, start: &str) -> String {
    let found = text.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no {start} in {text}")).to_owned()
}

#[test]
fn threads_alike_share_a_header_that_counts_and_names_them() {
    let workers = pool("pool", "group", &["io", "io", "io", "cpu", "io", "io"]);
    let ids: Vec<_> = workers.iter().map(|worker| format!("{:?}", worker.id())).collect();
    // Threads of other tests may have idents in between, which no range may have in it.
    let first = &ids[0];
    let text = stateless(&of("group").to_string());
    let header = header(&text, "5 threads alike: ");
    let names = r#""pool-0".."pool-2", "pool-4".."pool-5""#;
    assert!(header.starts_with(&format!("5 threads alike: {names}  {first}")), "{header}");
    assert!(header.contains("  last write ") && !header.contains(&format!("{}, ", ids[3])), "{header}");
    assert_eq!(text.matches("group.role = \"io\"").count(), 1);
    assert_eq!(text.lines().filter(|line| line.starts_with('"')).count(), 1, "one is not like them: {text}");
    assert!(text.contains("6 contexts: 6 threads"), "{text}");
    // In the JSON each stands for itself.
    assert_eq!(of("group").contexts().len(), 6);
}

#[test]
fn a_range_of_names_is_one_of_numbers() {
    let names = ["web", "web", "pool-8", "pool-9", "pool-10", "pool", ""];
    let workers: Vec<_> = names.map(|name| Worker::with(thread::Builder::new().name(name.to_owned()))).into();
    for worker in &workers {
        worker.run(|| drop(get_thread_ctx().namespace("group names").insert("role", "io").unwrap()));
    }
    let text = of("group names").to_string();
    let header = header(&text, "7 threads alike: ");
    assert!(header.contains(r#": "web", "pool-8".."pool-10", "pool", ""  ThreadId("#), "{header}");
    assert!(header.contains(&format!("\"\"  {:?}", workers[0].id())), "{header}");
}

#[test]
fn without_grouping_each_has_a_header() {
    let _workers = pool("each", "group off", &["io"; 3]);
    let text = DumpOptions::new().namespace("group off").group(false).take().to_string();
    assert_eq!(text.lines().filter(|line| line.starts_with("\"each-")).count(), 3);
    assert!(!text.contains("alike"));
}

#[test]
fn what_is_written_at_once_groups_those_that_follow_each_other() {
    let _workers = pool("run", "group run", &["io", "io", "cpu", "io", "io", "io"]);
    let mut text = Vec::new();
    DumpOptions::new().namespace("group run").write_text(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(header(&text, "2 threads alike: ").contains(r#""run-0".."run-1""#));
    assert!(header(&text, "3 threads alike: ").contains(r#""run-3".."run-5""#));
    assert!(header(&stateless(&text), "\"run-2\"").contains("  <state>  last write "));
}

#[test]
fn members_beyond_a_few_ranges_are_counted() {
    let values: Vec<_> = (0..16).map(|n| if n % 2 == 0 { "even" } else { "odd" }).collect();
    let _workers = pool("many", "group many", &values);
    let text = of("group many").to_string();
    let header = header(&text, "8 threads alike: ");
    assert!(header.contains(r#""many-0", "many-2", "many-4", "many-6", and 4 more  ThreadId("#), "{header}");
}

#[test]
fn main_is_not_grouped_and_the_stale_are_not_with_the_others() {
    let main = Worker::with(thread::Builder::new().name("main".to_owned()));
    main.run(|| drop(get_thread_ctx().namespace("group main").insert("role", "io").unwrap()));
    let _workers = pool("other", "group main", &["io"; 2]);
    let dump = DumpOptions::new().namespace("group main").stale_after(Duration::ZERO).take();
    let text = dump.to_string();
    assert!(header(&text, "\"main\"").contains("!!!"));
    assert!(header(&text, "2 threads alike: ").ends_with(" !!!"), "{text}");
}
