//! The text: for people, and for `grep`.

use std::{fmt, net::Ipv4Addr, thread, time::Duration};

use threadctx::{DumpOptions, Key, get_thread_ctx};

use super::{line, of};
use crate::support::worker::Worker;

/// What changes from run to run, replaced: numbers by `#`, the time by `<time>`, ages by `<age>`; and pads by one space,
/// but for the indent.
fn normalised(text: &str) -> String {
    let word = |word: &str| -> String {
        let is_time = word.len() == 24 && word.ends_with('Z') && word.contains('T');
        let digits = word.chars().filter(char::is_ascii_digit).count();
        let is_age = digits > 0
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word.chars().all(|c| c.is_ascii_digit() || ".mshd".contains(c))
            && word.ends_with(['s', 'm', 'h']);
        match word {
            _ if is_time => "<time>".to_owned(),
            _ if is_age => "<age>".to_owned(),
            _ if word.starts_with("ThreadId(") => "ThreadId(#)".to_owned(),
            _ => word.to_owned(),
        }
    };
    let mut lines = Vec::new();
    for line in super::stateless(text).lines() {
        let indent: String = line.chars().take_while(|c| *c == ' ').collect();
        let mut words: Vec<_> = line.split_whitespace().map(word).collect();
        // Threads of other tests that start meanwhile part a range of idents.
        words.dedup_by(|next, word| word.starts_with("ThreadId(#)") && word == next);
        for n in 1..words.len() {
            if ["pid", "tid"].contains(&words[n - 1].as_str()) {
                "#".clone_into(&mut words[n]);
            }
        }
        lines.push(indent + &words.join(" "));
    }
    lines.join("\n")
}

#[derive(Debug)]
#[expect(dead_code, reason = "its fields are there to be shown")]
struct Transaction {
    id: u32,
    state: &'static str,
}

#[test]
fn the_text_is_one_header_line_per_context_and_one_line_per_value() {
    static ROUTE: Key<String> = Key::new("golden", "route").debug();
    static HOST: Key<Ipv4Addr> = Key::new("golden", "host").display();
    static TX: Key<Transaction> = Key::new("golden", "tx").debug();
    static PORTS: Key<Vec<u16>> = Key::new("golden", "ports").json();
    static OPAQUE: Key<thread::JoinHandle<()>> = Key::new("golden", "opaque");
    static TOKEN: Key<String> = Key::new("golden.auth", "token").secret();
    let worker = Worker::with(thread::Builder::new().name("worker-3".to_owned()));
    worker.run(|| {
        ROUTE.set("/orders/{id}".to_owned());
        HOST.set([127, 0, 0, 1].into());
        TX.set(Transaction { id: 81, state: "open" });
        PORTS.set(vec![80, 443]);
        OPAQUE.set(thread::spawn(|| ()));
        TOKEN.set("hunter2".to_owned());
        get_thread_ctx().namespace("golden").insert("by name", Some(1)).unwrap();
    });
    let unnamed = Worker::start();
    unnamed.run(|| drop(get_thread_ctx().namespace("golden").insert_opaque("other", ()).unwrap()));
    let text =
        normalised(&DumpOptions::new().namespace("golden").namespace("golden.auth").take().to_string());
    let mut lines = text.lines();
    let process = lines.next().unwrap();
    assert!(process.ends_with(" pid # up <age> <time>"), "{process}");
    let counts = lines.next().unwrap();
    assert!(counts.starts_with("2 contexts: 2 threads, 0 tasks | 8 values, "), "{counts}");
    assert!(counts.ends_with(" | 1 secret, 0 truncated, 0 busy"), "{counts}");
    let rest: Vec<_> = lines.collect();
    let expected = r#"
"worker-3" ThreadId(#) tid # <state> last write <age> ago
    golden.by name = Some(1) <age>
    golden.host = "127.0.0.1" <age>
    golden.opaque = <JoinHandle<()>>
    golden.ports = [80,443] <age>
    golden.route = "/orders/{id}" <age>
    golden.tx = Transaction { id: 81, state: "open" } <age>
    golden.auth.token = <secret String> <age>

"" ThreadId(#) tid # <state>
    golden.other = <()>"#;
    assert_eq!(rest.join("\n"), expected);
}

#[test]
fn groups_marks_findings_and_cuts_have_their_places() {
    let start = |name: &str, namespace: &'static str, value: &'static str| {
        let worker = Worker::with(thread::Builder::new().name(name.to_owned()));
        worker.run(move || drop(get_thread_ctx().namespace(namespace).insert("role", value).unwrap()));
        worker
    };
    let _workers =
        [("pool-0", "io"), ("pool-1", "io"), ("pool-2", "cpu"), ("pool-3", "io"), ("pool-4", "io")]
            .map(|(name, value)| start(name, "golden groups", value));
    let options = DumpOptions::new().namespace("golden groups").max_contexts(4).stale_after(Duration::ZERO);
    let whole = options.take().to_string();
    let text = normalised(&whole);
    let body = text.lines().skip(1).collect::<Vec<_>>().join("\n");
    let expected = r#"4 contexts: 4 threads, 0 tasks | 4 values, 17 B | 0 secret, 0 truncated, 0 busy

3 threads alike: "pool-0".."pool-1", "pool-3" ThreadId(#) last write <age> ago !!!
    golden groups.role = "io" <age>

"pool-2" ThreadId(#) tid # <state> last write <age> ago !!!
    golden groups.role = "cpu" <age>

Findings
  ! "pool-2" ThreadId(#) no write for <age>
  ! 3 alike, "pool-0" ThreadId(#) to "pool-3" ThreadId(#) no write for <age>

Left out: 1 context, 0 values of others (limit met: 4 contexts)"#;
    // The ages decide the order of the findings, and whether the others' last writes are within the last second.
    fn sorted(text: &str) -> Vec<&str> {
        let mut lines: Vec<_> = text.lines().map(|line| line.split(" while ").next().unwrap()).collect();
        lines.sort();
        lines
    }
    assert_eq!(sorted(&body), sorted(expected), "{whole}");
}

#[test]
fn the_ages_stand_in_one_column() {
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("text ages");
        namespace.insert("a", 1).unwrap();
        namespace.insert("a longer name", "x".repeat(30)).unwrap();
        namespace.insert("é", "ü").unwrap();
        namespace.insert_opaque("without", ()).unwrap();
    });
    let dump = of("text ages");
    let column = |name: &str| {
        let line = line(&dump, name);
        let before = line.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        before.chars().count()
    };
    let columns = ["text ages.a", "text ages.a longer name", "text ages.é"].map(column);
    assert_eq!(columns, [columns[0]; 3]);
}

#[test]
fn the_oldest_context_comes_first() {
    let workers: Vec<_> = ["one", "two", "three"]
        .map(|name| {
            let worker = Worker::with(thread::Builder::new().name(name.to_owned()));
            worker.run(move || drop(get_thread_ctx().namespace("text order").insert("a", name).unwrap()));
            worker
        })
        .into();
    let text = of("text order").to_string();
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix('"')?.split('"').next()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    drop(workers);
}

#[test]
fn nothing_in_a_name_or_value_breaks_its_line_or_reaches_the_terminal() {
    struct Raw(&'static str);
    impl fmt::Debug for Raw {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    impl fmt::Display for Raw {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    static SHOWN: Key<Raw> = Key::new("text\u{1b}[31m escapes", "shown\n\"x\"").display();
    const NASTY: &str = "a\n\"forged\"  ThreadId(1)\r\u{1b}[2J\u{7}\u{9b}31m\u{7f}\u{202e}\t\0'\\";
    let name = "named\n\"forged\"  \u{1b}]0;title\u{7}".to_owned();
    let worker = Worker::with(thread::Builder::new().name(name));
    worker.run(|| {
        SHOWN.set(Raw(NASTY));
        let namespace = get_thread_ctx().namespace("text\u{1b}[31m escapes");
        namespace.insert("raw debug", Raw(NASTY)).unwrap();
        namespace.insert("debug", NASTY).unwrap();
        namespace.insert_json("json", NASTY).unwrap();
        namespace.insert_opaque("\u{1b}[0m\nforged = 1", ()).unwrap();
        #[derive(Clone)]
        struct Panics;
        impl fmt::Debug for Panics {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("{NASTY}")
            }
        }
        namespace.insert("panics", Panics).unwrap();
    });
    let dump = worker.handle().dump();
    let text = dump.to_string();
    assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text:?}");
    // A blank line and a header for the context, and one line for each of its six values.
    let body: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(body.len(), 2 + 6, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with('"')).count(), 1);
    assert!(text.contains(r#""named\n\"forged\""#), "{text}");
    // As Rust escapes: quotes where they are in quotes.
    assert!(
        text.contains(r#"= "a\n\"forged\"  ThreadId(1)\r\u{1b}[2J\u{7}\u{9b}31m\u{7f}\u{202e}\t\0"#),
        "{text}"
    );
    // In JSON all of it comes back as it was.
    let json = super::parsed(&dump);
    assert_eq!(json["contexts"][0]["name"], "named\n\"forged\"  \u{1b}]0;title\u{7}");
    assert_eq!(super::value(&dump, "shown\n\"x\"")["value"], NASTY);
    assert_eq!(super::value(&dump, "raw debug")["value"], NASTY);
    assert_eq!(super::value(&dump, "json")["value"], NASTY);
}

#[test]
fn a_value_whose_renderer_panics_or_fails_shows_that_and_the_others_are_shown() {
    struct Panics(u8);
    impl fmt::Debug for Panics {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("some of it, ")?;
            match self.0 {
                0 => panic!("a message"),
                1 => panic!("number {}", self.0),
                2 => std::panic::panic_any(7),
                _ => Err(fmt::Error),
            }
        }
    }
    impl serde::Serialize for Panics {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => panic!("while serializing"),
                1 => Err(serde::ser::Error::custom("cannot be JSON")),
                _ => serializer.collect_map([((1, 2), 3)]),
            }
        }
    }
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("text panics");
        (0..4).for_each(|n| drop(namespace.insert(&format!("debug {n}"), Panics(n)).unwrap()));
        (0..3).for_each(|n| drop(namespace.insert_json(&format!("json {n}"), Panics(n)).unwrap()));
        namespace.insert("sound", 1).unwrap();
    });
    let dump = of("text panics");
    let shows = |name: &str, what: &str| {
        let text = line(&dump, &format!("text panics.{name}"));
        assert!(text.contains(what), "{what} in {text}");
        assert!(!text.contains("some of it"));
        let json = super::value(&dump, name)["value"].as_str().unwrap().to_owned();
        assert!(json.contains(what), "{what} in {json}");
    };
    shows("debug 0", "<panicked: a message>");
    shows("debug 1", "<panicked: number 1>");
    shows("debug 2", "<panicked: ");
    shows("debug 3", "<");
    shows("json 0", "<panicked: while serializing>");
    shows("json 1", "cannot be JSON");
    shows("json 2", "<");
    assert!(line(&dump, "text panics.sound").contains("= 1"));
}
