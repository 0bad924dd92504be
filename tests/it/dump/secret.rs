//! Secrets: never rendered, by construction; and what a dump does not show it does not touch.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde::{Serialize, Serializer};
use threadctx::{DumpDiff, DumpOptions, Key, dump, get_thread_ctx};

use super::{line, of, parsed, value};
use crate::support::{
    tracked::{Drops, Tracked},
    worker::Worker,
};

/// Must not be found anywhere.
const MARKER: &str = "xyzzy-secret-marker";

/// On whatever thread that was.
static RENDERED: AtomicUsize = AtomicUsize::new(0);

/// Knows whether anybody ever asked it for its text.
#[derive(Clone)]
struct Token(String);

impl Token {
    fn new() -> Self {
        Self(MARKER.to_owned())
    }

    fn render(&self) -> &str {
        RENDERED.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render())
    }
}

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.render())
    }
}

/// In every output that there is, and in what is kept of it in memory.
fn assert_hidden(namespace: &str) {
    let options = DumpOptions::new().namespace(namespace).stale_after(Duration::ZERO);
    let mut streamed = Vec::new();
    options.write_text(&mut streamed).unwrap();
    options.write_json(&mut streamed).unwrap();
    options.write_ndjson(&mut streamed).unwrap();
    let patient = options.clone().patience(Duration::from_secs(30)).take();
    for dump in [dump(), of(namespace), options.take(), patient] {
        dump.write_text(&mut streamed).unwrap();
        dump.write_ndjson(&mut streamed).unwrap();
        let diff = of(namespace).since(&dump);
        let gone = DumpDiff::from_json(&dump.to_json(), r#"{"contexts":[]}"#).unwrap();
        let said = format!(
            "{dump}{}{dump:?}{:?}{:?}{diff}{diff:?}{}{gone}{gone:?}{}",
            dump.to_json(),
            dump.contexts(),
            dump.findings(),
            diff.to_json(),
            gone.to_json()
        );
        assert!(!said.contains(MARKER), "in {namespace}: {said}");
    }
    let streamed = String::from_utf8(streamed).unwrap();
    assert!(!streamed.contains(MARKER), "in {namespace}: {streamed}");
    assert_eq!(RENDERED.load(Ordering::Relaxed), 0, "a secret of {namespace} was rendered");
}

#[test]
fn a_secret_is_never_rendered_whatever_else_its_key_says() {
    static PLAIN: Key<Token> = Key::new("secret", "plain").secret();
    static BEFORE: Key<Token> = Key::new("secret", "before").secret().debug().display().json();
    static AFTER: Key<Token> = Key::new("secret", "after").json().display().debug().secret();
    static SHOWS: Key<Token> = Key::new("secret", "two statics").debug();
    static HIDES: Key<Token> = Key::new("secret", "two statics").secret();
    static OF_A_NAME: Key<Token> = Key::new("secret", "of a name").secret();
    let worker = Worker::start();
    assert!(SHOWS.check().is_ok() && HIDES.check().is_ok() && OF_A_NAME.check().is_ok());
    worker.run(|| {
        [&PLAIN, &BEFORE, &AFTER, &SHOWS].iter().for_each(|key| key.set(Token::new()));
        let namespace = get_thread_ctx().namespace("secret");
        namespace.insert_secret("by name", Token::new()).unwrap();
        // The key is secret: nobody can make its value visible by putting it in by name.
        namespace.insert_json("of a name", Token::new()).unwrap();
        drop(format!("{PLAIN:?}"));
    });
    assert_hidden("secret");
    let dump = of("secret");
    for name in ["plain", "before", "after", "two statics", "by name", "of a name"] {
        let line = line(&dump, &format!("secret.{name}"));
        assert!(line.contains("= <secret Token>"), "{line}");
        let value = value(&dump, name);
        assert_eq!(value["shown"], "secret");
        assert!(value.get("value").is_none());
        assert!(value["type"].as_str().unwrap().ends_with("Token"));
    }
    assert_eq!(parsed(&dump)["counts"]["secret"], 6);
}

#[test]
fn a_secret_key_hides_what_was_put_in_visibly_before_its_first_use() {
    static KEY: Key<&str> = Key::new("secret later", "name").secret();
    let worker = Worker::start();
    worker.run(|| _ = get_thread_ctx().namespace("secret later").insert("name", "visible at first").unwrap());
    assert!(of("secret later").to_string().contains("visible at first"));
    // Used elsewhere only: the worker itself has not given the value over to the key.
    assert!(KEY.check().is_ok());
    assert_shown_as_secret("secret later");
    worker.run(|| assert!(KEY.get().is_some()));
    assert_shown_as_secret("secret later");
}

#[test]
fn a_value_put_in_as_a_secret_stays_one_though_a_key_that_shows_goes_by_its_name() {
    static KEY: Key<&str> = Key::new("secret by name", "name").debug();
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("secret by name");
        namespace.insert_secret("name", "not for anybody").unwrap();
    });
    assert_shown_as_secret("secret by name");
    assert!(KEY.check().is_ok());
    assert_shown_as_secret("secret by name");
    worker.run(|| assert!(KEY.get().is_some()));
    assert_shown_as_secret("secret by name");
}

fn assert_shown_as_secret(namespace: &str) {
    let value = value(&of(namespace), "name");
    assert_eq!((&value["shown"], value.get("value")), (&"secret".into(), None), "{value}");
}

#[test]
fn opaque_and_secret_values_are_never_cloned_borrowed_or_dropped_by_a_dump() {
    static OPAQUE: Key<Tracked> = Key::new("untouched", "opaque");
    static SECRET: Key<Tracked> = Key::new("untouched", "secret").secret();
    let drops = Drops::default();
    let worker = Worker::start();
    let values = [0, 1, 2, 3].map(|number| drops.value(number));
    worker.run(|| {
        let [opaque, secret, by_name, secret_by_name] = values;
        OPAQUE.set(opaque);
        SECRET.set(secret);
        let namespace = get_thread_ctx().namespace("untouched");
        namespace.insert_opaque("name", by_name).unwrap();
        namespace.insert_secret("secret name", secret_by_name).unwrap();
    });
    let counts = || {
        [OPAQUE.get(), SECRET.get(), by_name("name"), by_name("secret name")]
            .map(|value| Arc::strong_count(&value.unwrap()))
    };
    fn by_name(name: &str) -> Option<Arc<Tracked>> {
        get_thread_ctx().namespace("untouched").get(name).unwrap()
    }
    let before = worker.run(counts);
    let dumps: Vec<_> = (0..10).map(|_| of("untouched")).collect();
    assert_eq!(worker.run(counts), before, "a dump that is kept keeps no value");
    let id = worker.id();
    thread::scope(|scope| {
        // Dumps without pause, until the values are gone.
        scope.spawn(|| while parsed(&of("untouched"))["counts"]["values"] != 0 {});
        worker.run(|| get_thread_ctx().clear());
    });
    // What a dump looked at just then, be it another test's, goes by the end of its thread.
    drop(worker);
    drops.assert_each_once(4);
    assert_eq!(drops.threads(), [id; 4]);
    drop(dumps);
}
