//! What a key is: (namespace, name) and one type, whoever declares it and whoever uses it by name.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Barrier,
    thread,
};

use threadctx::{Key, get_thread_ctx};

use crate::support::{leaked::leaked, worker::Worker};

const NS: &str = "identity";

/// The message of the panic that `code` must end in.
fn panic_of<R>(code: impl FnOnce() -> R) -> String {
    let Err(payload) = panic::catch_unwind(AssertUnwindSafe(code)) else { panic!("it did not panic") };
    *payload.downcast::<String>().expect("a message")
}

#[test]
fn two_statics_of_one_identity_and_type_are_one_value() {
    static ONE: Key<u8> = Key::new(NS, "same");
    static TWO: Key<u8> = Key::new(NS, "same");
    ONE.set(1);
    assert_eq!(TWO.cloned(), Some(1));
    TWO.set(2);
    assert_eq!(ONE.cloned(), Some(2));
    TWO.scope(3, || assert_eq!(ONE.cloned(), Some(3)));
    assert_eq!(ONE.iter().count(), 1);
    assert_eq!(TWO.take().as_deref(), Some(&2));
    assert_eq!(ONE.get(), None);
    assert!(ONE.check().is_ok() && TWO.check().is_ok());
}

#[test]
fn two_keys_of_one_type_are_two_values() {
    static ONE: Key<u8> = Key::new(NS, "one of a type");
    static TWO: Key<u8> = Key::new(NS, "other of a type");
    static THREE: Key<u8> = Key::new("identity, elsewhere", "one of a type");
    ONE.set(1);
    assert_eq!((TWO.get(), THREE.get()), (None, None));
    THREE.set(3);
    assert_eq!((ONE.cloned(), TWO.get(), THREE.cloned()), (Some(1), None, Some(3)));
}

/// Two statics of one identity and two types, the first used first; and the lines where they are.
mod clash {
    use threadctx::Key;

    pub(super) const LINES: [u32; 2] = [line!() + 2, line!() + 3];
    #[rustfmt::skip]
    pub(super) static RIGHT: Key<u8> = Key::new("identity clash", "name");
    pub(super) static WRONG: Key<Vec<String>> = Key::new("identity clash", "name").init(Vec::new);
}

#[test]
fn one_identity_with_two_types_is_an_error_that_names_both_types_and_both_places() {
    use clash::{LINES, RIGHT, WRONG};
    assert!(RIGHT.check().is_ok());
    RIGHT.set(1);
    let error = WRONG.check().unwrap_err();
    assert_eq!((error.namespace(), error.name()), ("identity clash", "name"));
    let message = error.to_string();
    for part in ["identity clash", "name", "`u8`", "Vec<", "String"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    for line in LINES {
        let place = format!("{}:{line}", file!());
        assert!(message.contains(&place), "{place} in {message}");
    }
    assert!(RIGHT.check().is_ok(), "the first one is right for ever");
    assert!(WRONG.check().is_err());
}

#[test]
fn every_other_call_of_a_key_of_the_wrong_type_panics_with_the_same_text() {
    static RIGHT: Key<u8> = Key::new(NS, "right");
    static WRONG: Key<u16> = Key::new(NS, "right").init(|| 7);
    RIGHT.set(1);
    let text = WRONG.check().unwrap_err().to_string();
    let me = get_thread_ctx().handle();
    let calls: &[(&str, &dyn Fn())] = &[
        ("with", &|| _ = WRONG.with(|value| *value)),
        ("get", &|| drop(WRONG.get())),
        ("cloned", &|| _ = WRONG.cloned()),
        ("set", &|| WRONG.set(1)),
        ("replace", &|| drop(WRONG.replace(1))),
        ("take", &|| drop(WRONG.take())),
        ("update", &|| _ = WRONG.update(|value| *value)),
        ("get_or_init", &|| drop(WRONG.get_or_init(|| 1))),
        ("get_or_try_init", &|| drop(WRONG.get_or_try_init(|| Err(())))),
        ("scope", &|| WRONG.scope(1, || ())),
        ("enter", &|| drop(WRONG.enter(1))),
        ("get_in", &|| drop(WRONG.get_in(&me))),
        ("iter", &|| _ = WRONG.iter().count()),
    ];
    for (name, call) in calls {
        let message = panic_of(call);
        assert!(message.contains(&text), "{name}: {message}");
    }
    let refused = WRONG.try_set(1).expect_err("a call that tries gives an error");
    assert!(
        refused.is_wrong_type() && !refused.is_gone() && refused.to_string().contains(&text),
        "{refused}"
    );
    assert_eq!(refused.into_value(), 1);
    assert_eq!(RIGHT.cloned(), Some(1), "none of them has done anything");
}

#[test]
fn try_set_of_a_key_of_the_wrong_type_hands_the_value_back_with_the_error() {
    static RIGHT: Key<u8> = Key::new(NS, "right try_set");
    static WRONG: Key<String> = Key::new(NS, "right try_set");
    RIGHT.set(1);
    let refused = WRONG.try_set("precious".to_owned()).unwrap_err();
    assert!(refused.is_wrong_type() && !refused.is_gone());
    assert_eq!(refused.to_string(), format!("the value was not stored: {}", WRONG.check().unwrap_err()));
    assert_eq!(refused.into_value(), "precious");
    assert_eq!(RIGHT.cloned(), Some(1));
}

#[test]
fn try_set_under_a_name_of_another_type_hands_the_value_back_until_the_name_is_free() {
    static KEY: Key<u8> = Key::new(NS, "named otherwise");
    let namespace = get_thread_ctx().namespace(NS);
    namespace.insert("named otherwise", "text").unwrap();
    let refused = KEY.try_set(7).unwrap_err();
    assert!(refused.is_wrong_type());
    assert_eq!(refused.into_value(), 7);
    assert_eq!(namespace.get::<&str>("named otherwise").unwrap().as_deref(), Some(&"text"));
    assert!(namespace.remove("named otherwise"));
    assert!(KEY.try_set(7).is_ok());
    assert_eq!(KEY.cloned(), Some(7));
}

#[test]
fn the_total_of_a_key_of_the_wrong_type_panics_too() {
    static RIGHT: Key<u8> = Key::new(NS, "right total").keep_total(|one, other| one + other);
    static WRONG: Key<u16> = Key::new(NS, "right total").keep_total(|one, other| one + other);
    RIGHT.set(1);
    let text = WRONG.check().unwrap_err().to_string();
    assert!(panic_of(|| WRONG.total()).contains(&text));
}

#[test]
fn of_two_types_that_race_for_an_identity_one_wins_everywhere() {
    for round in 0..200 {
        let name: &str = format!("race {round}").leak();
        let one: &Key<u8> = leaked(Key::new(NS, name));
        let two: &Key<u16> = leaked(Key::new(NS, name));
        let start = &Barrier::new(2);
        let won = thread::scope(|scope| {
            let one = scope.spawn(|| {
                start.wait();
                one.check().is_ok()
            });
            let two = scope.spawn(|| {
                start.wait();
                two.check().is_ok()
            });
            (one.join().unwrap(), two.join().unwrap())
        });
        assert_ne!(won.0, won.1, "{won:?}");
        assert_eq!((one.check().is_ok(), two.check().is_ok()), won);
    }
}

#[test]
fn threads_that_race_for_a_keys_first_use_share_one_key() {
    for round in 0..100 {
        let name: &str = format!("first use {round}").leak();
        let start = &Barrier::new(3);
        let workers = thread::scope(|scope| {
            let threads: Vec<_> = (0..3_u8)
                .map(|n| {
                    scope.spawn(move || {
                        // Each with a static of its own.
                        let key: &'static Key<u8> = leaked(Key::new(NS, name));
                        start.wait();
                        key.set(n);
                        start.wait();
                        let seen = key.iter().count();
                        start.wait();
                        (key.cloned(), seen)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(workers, (0..3).map(|n| (Some(n), 3)).collect::<Vec<_>>());
    }
}

#[test]
fn a_value_put_in_by_name_is_the_keys_when_that_is_used_later() {
    static KEY: Key<String> = Key::new(NS, "name first");
    let namespace = get_thread_ctx().namespace(NS);
    namespace.insert("name first", "by name".to_owned()).unwrap();
    let by_name = namespace.get::<String>("name first").unwrap().unwrap();
    assert!(std::sync::Arc::ptr_eq(&KEY.get().unwrap(), &by_name), "the very same value");
    KEY.set("by key".to_owned());
    assert_eq!(*namespace.get::<String>("name first").unwrap().unwrap(), "by key");
    assert_eq!(namespace.names().iter().filter(|name| *name == "name first").count(), 1);
    assert!(namespace.remove("name first"));
    assert_eq!(KEY.get(), None);
}

#[test]
fn every_first_use_finds_the_value_that_was_put_in_by_name() {
    fn put<T: std::fmt::Debug + Send + Sync + 'static>(value: T) -> (String, &'static str) {
        let name: &'static str = format!("found {:?}", std::time::Instant::now()).leak();
        get_thread_ctx().namespace(NS).insert(name, value).unwrap();
        (name.to_owned(), name)
    }
    let key = || -> &'static Key<u8> { leaked(Key::new(NS, put(5_u8).1).init(|| 99)) };
    Worker::start().run(move || {
        assert_eq!(key().with(|value| *value), Some(5));
        assert_eq!(key().get().as_deref(), Some(&5));
        assert_eq!(key().cloned(), Some(5));
        assert_eq!(key().replace(6).as_deref(), Some(&5));
        assert_eq!(key().take().as_deref(), Some(&5));
        assert_eq!(key().update(|value| *value), Some(5));
        assert_eq!(*key().get_or_init(|| 98), 5);
        assert_eq!(key().get_or_try_init(|| Err(())).as_deref(), Ok(&5));
        assert_eq!(key().get_in(&get_thread_ctx().handle()).as_deref(), Some(&5));
        assert_eq!(key().iter().map(|(_, value)| *value).collect::<Vec<_>>(), [5]);
        let key = key();
        key.scope(6, || assert_eq!(key.cloned(), Some(6)));
        assert_eq!(key.cloned(), Some(5), "a scope restores it");
    });
}

#[test]
fn a_keys_value_is_found_by_name_and_changed_by_name() {
    static KEY: Key<u8> = Key::new(NS, "key first");
    KEY.set(1);
    let namespace = get_thread_ctx().namespace(NS);
    assert!(namespace.contains("key first"));
    assert_eq!(namespace.get::<u8>("key first").unwrap().as_deref(), Some(&1));
    assert_eq!(namespace.insert("key first", 2_u8).unwrap().as_deref(), Some(&1));
    assert_eq!(*namespace.get_or_insert_with("key first", || 3_u8).unwrap(), 2);
    assert_eq!(KEY.cloned(), Some(2));
    let me = get_thread_ctx().handle();
    assert_eq!(me.namespace(NS).get::<u8>("key first").unwrap().as_deref(), Some(&2));
    assert!(namespace.remove("key first"));
    assert_eq!(KEY.get(), None);
    assert_eq!(*namespace.get_or_insert_with("key first", || 4_u8).unwrap(), 4);
    assert_eq!(KEY.cloned(), Some(4));
}

#[test]
fn an_insert_of_another_type_than_the_keys_is_refused_and_handed_back() {
    static KEY: Key<u8> = Key::new(NS, "refuses");
    let namespace = get_thread_ctx().namespace(NS);
    // Whether the key has a value here or not: it is in use in the process.
    assert!(KEY.check().is_ok());
    for filled in [false, true] {
        if filled {
            KEY.set(1);
        }
        let refused = namespace.insert("refuses", "text").unwrap_err();
        assert!(refused.is_wrong_type());
        let message = refused.to_string();
        assert!(message.contains("`u8`") && message.contains("str`"), "{message}");
        assert_eq!(message.matches(file!()).count(), 2, "{message}");
        assert_eq!(refused.into_value(), "text");
        assert!(namespace.get_or_insert_with("refuses", || "text").is_err());
        assert_eq!(KEY.cloned(), filled.then_some(1));
    }
    assert!(namespace.get::<&str>("refuses").is_err());
}

#[test]
fn a_name_of_another_type_makes_the_keys_first_use_an_error_until_it_is_removed() {
    static KEY: Key<String> = Key::new(NS, "name of another type").init(String::new);
    let namespace = get_thread_ctx().namespace(NS);
    namespace.insert("name of another type", 5_u8).unwrap();
    let place = format!("{}:{}", file!(), line!() - 1);
    let error = KEY.check().unwrap_err().to_string();
    for part in ["name of another type", "`u8`", "String`", &place] {
        assert!(error.contains(part), "{part} in {error}");
    }
    for call in [
        &(|| drop(KEY.get())) as &dyn Fn(),
        &|| _ = KEY.with(|_| ()),
        &|| KEY.set("refused".to_owned()),
        &|| drop(KEY.take()),
        &|| KEY.scope("refused".to_owned(), || ()),
        &|| drop(KEY.get_or_init(String::new)),
    ] {
        assert!(panic_of(call).contains(&error));
    }
    // The name goes on working for those who know its type, on this thread and from others.
    assert_eq!(namespace.get::<u8>("name of another type").unwrap().as_deref(), Some(&5));
    assert!(namespace.insert("name of another type", 6_u8).is_ok());
    assert_eq!(KEY.get_in(&get_thread_ctx().handle()), None, "no read gives a value of another type");
    // On other threads nobody uses the name: the key works there.
    Worker::start().run(|| KEY.set("elsewhere".to_owned()));
    assert!(namespace.remove("name of another type"));
    assert!(KEY.check().is_ok());
    KEY.set("here".to_owned());
    assert_eq!(namespace.get::<String>("name of another type").unwrap().unwrap().as_str(), "here");
}

#[test]
fn a_clash_ends_with_a_clear_too() {
    static KEY: Key<String> = Key::new("identity, cleared", "name");
    let ctx = get_thread_ctx();
    ctx.namespace("identity, cleared").insert("name", 5_u8).unwrap();
    assert!(KEY.check().is_err());
    ctx.namespace("identity, cleared").clear();
    assert!(KEY.check().is_ok());
    KEY.set("text".to_owned());
}

#[test]
fn idents_print_as_logs_do() {
    let ident = get_thread_ctx().ident();
    assert_eq!(ident.to_string(), format!("{:?}", thread::current().id()));
    assert_eq!(format!("{ident:?}"), ident.to_string());
    assert_eq!(format!("{ident:>20}").trim_start(), ident.to_string());
}
