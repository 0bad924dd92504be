//! Dynamic names: the owner's namespaces.

use std::sync::Arc;

use threadctx::{Key, get_thread_ctx};

use crate::support::worker::Worker;

#[test]
fn an_insert_gives_what_was_there_and_a_get_what_is() {
    let namespace = get_thread_ctx().namespace("names 1");
    assert_eq!(namespace.insert("a", 1).unwrap(), None);
    assert_eq!(namespace.insert("a", 2).unwrap().as_deref(), Some(&1));
    assert_eq!(namespace.get::<i32>("a").unwrap().as_deref(), Some(&2));
    let kept = namespace.get::<i32>("a").unwrap().unwrap();
    assert_eq!(namespace.insert("a", 3).unwrap().as_deref(), Some(&2));
    assert_eq!(*kept, 2);
}

#[test]
fn a_name_keeps_its_type_until_it_is_removed() {
    let namespace = get_thread_ctx().namespace("names 2");
    namespace.insert("a", 1_u8).unwrap();
    let refused = namespace.insert("a", "text").unwrap_err();
    assert!(refused.is_wrong_type() && !refused.is_gone());
    assert_eq!(refused.into_value(), "text");
    assert_eq!(namespace.insert_json("a", 1.5).unwrap_err().into_value(), 1.5);
    assert!(namespace.insert_opaque("a", ()).unwrap_err().is_wrong_type());
    assert!(namespace.insert_secret("a", 'c').unwrap_err().is_wrong_type());
    assert!(namespace.get::<i8>("a").is_err());
    assert!(namespace.get_or_insert_with("a", || -1_i8).is_err());
    assert_eq!(namespace.get::<u8>("a").unwrap().as_deref(), Some(&1), "nothing has changed");
    assert!(namespace.remove("a"));
    assert!(namespace.insert("a", "text").is_ok());
    assert_eq!(namespace.get::<&str>("a").unwrap().as_deref(), Some(&"text"));
}

#[test]
fn get_or_insert_with_makes_what_is_absent_once() {
    let namespace = get_thread_ctx().namespace("names 3");
    let made = namespace.get_or_insert_with("a", || vec![1]).unwrap();
    assert!(Arc::ptr_eq(&made, &namespace.get("a").unwrap().unwrap()));
    let again = namespace.get_or_insert_with("a", || -> Vec<i32> { panic!("there is one") }).unwrap();
    assert!(Arc::ptr_eq(&made, &again));
    // Of two within one another the inner value stays, as for keys.
    let outer = namespace.get_or_insert_with("b", || {
        assert_eq!(*namespace.get_or_insert_with("b", || "inner").unwrap(), "inner");
        "outer"
    });
    assert_eq!(*outer.unwrap(), "inner");
}

#[test]
fn names_and_namespaces_are_sorted_and_an_emptied_namespace_vanishes() {
    static KEY: Key<u8> = Key::new("names 4b", "key");
    Worker::start().run(|| {
        let ctx = get_thread_ctx();
        let (a, b) = (ctx.namespace("names 4a"), ctx.namespace("names 4b"));
        for name in ["z", "é", "a", "", "B"] {
            a.insert(name, 0).unwrap();
        }
        b.insert("name", 0).unwrap();
        KEY.set(0);
        assert_eq!(a.names(), ["", "B", "a", "z", "é"]);
        assert_eq!(b.names(), ["key", "name"]);
        assert_eq!(ctx.namespaces(), ["names 4a", "names 4b"]);
        assert!(a.contains("") && !a.contains("key"));
        a.clear();
        assert!(a.names().is_empty());
        assert_eq!(ctx.namespaces(), ["names 4b"]);
        assert!(b.remove("name"));
        KEY.take();
        assert!(ctx.namespaces().is_empty());
    });
}

#[test]
fn two_namespaces_never_see_each_others_names() {
    let ctx = get_thread_ctx();
    let (one, two) = (ctx.namespace("names 5"), ctx.namespace("names 5."));
    one.insert("a", 1).unwrap();
    assert!(!two.contains("a"));
    two.insert("a", "another type").unwrap();
    two.clear();
    assert!(one.contains("a"));
    // No way of joining the two parts may confuse them.
    one.insert(".b", 1).unwrap();
    assert!(!two.contains("b"));
}

#[test]
fn one_namespace_reached_from_three_modules_is_one() {
    mod writes {
        pub(super) fn settings() {
            threadctx::get_thread_ctx().namespace("names 6").insert("settings", 1).unwrap();
        }
    }
    mod reads {
        pub(super) fn settings() -> Option<i32> {
            threadctx::get_thread_ctx().namespace("names 6").get("settings").unwrap().as_deref().copied()
        }
    }
    mod removes {
        pub(super) fn settings() -> bool {
            threadctx::get_thread_ctx().namespace("names 6").remove("settings")
        }
    }
    writes::settings();
    assert_eq!(reads::settings(), Some(1));
    assert!(removes::settings());
    assert_eq!(reads::settings(), None);
}

#[test]
fn a_clear_of_a_namespace_takes_its_keys_and_names_and_no_others() {
    static INSIDE: Key<u8> = Key::new("names 7", "key");
    static OUTSIDE: Key<u8> = Key::new("names 7, another", "key");
    let ctx = get_thread_ctx();
    INSIDE.set(1);
    OUTSIDE.set(1);
    ctx.namespace("names 7").insert("name", 1).unwrap();
    ctx.namespace("names 7").clear();
    assert_eq!((INSIDE.get(), OUTSIDE.cloned()), (None, Some(1)));
    assert!(ctx.namespace("names 7").names().is_empty());
}

#[test]
fn a_clear_of_the_context_keeps_the_context_and_its_hooks() {
    let (tell, told) = std::sync::mpsc::channel();
    let worker = Worker::start();
    let context = worker.handle();
    worker.run(move || {
        let ctx = get_thread_ctx();
        ctx.on_exit(move |_| tell.send(()).unwrap());
        ctx.namespace("names 8").insert("name", 1).unwrap();
        ctx.clear();
        assert!(ctx.namespaces().is_empty());
    });
    assert_eq!(context.state(), threadctx::State::Running);
    assert!(told.try_recv().is_err());
    worker.end();
    assert_eq!(told.try_recv(), Ok(()));
}

#[test]
fn others_see_names_and_cannot_mistake_their_type() {
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("names 9");
        namespace.insert("a", 1_u8).unwrap();
        namespace.insert_secret("b", "hidden from dumps, not from the program").unwrap();
    });
    let context = worker.handle();
    let view = context.namespace("names 9");
    assert_eq!(view.names(), ["a", "b"]);
    assert!(view.contains("a") && !view.contains("c"));
    assert_eq!(view.get::<u8>("a").unwrap().as_deref(), Some(&1));
    assert!(view.get::<u16>("a").is_err());
    assert!(view.get::<&str>("b").unwrap().is_some());
    assert_eq!(view.get::<u8>("c").unwrap(), None);
    assert!(worker.run(|| get_thread_ctx().namespace("names 9").remove("a")));
    assert_eq!(view.get::<u16>("a").unwrap(), None);
}

#[test]
fn a_namespace_is_always_that_of_the_current_context() {
    // The name is what a `Namespace` holds; whose it is is settled when it is used.
    let namespace = get_thread_ctx().namespace("names 10");
    namespace.insert("a", 1).unwrap();
    threadctx::exit_thread_ctx();
    assert!(!namespace.contains("a"));
    namespace.insert("a", "of a new context").unwrap();
}

#[test]
fn places_of_removed_names_are_used_again_for_others() {
    let worker = Worker::start();
    worker.run(|| {
        let namespace = get_thread_ctx().namespace("names 11");
        for round in 0..200 {
            let names: Vec<_> = (0..5).map(|n| format!("{round}.{n}")).collect();
            names.iter().for_each(|name| drop(namespace.insert(name, round).unwrap()));
            assert_eq!(namespace.names().len(), 5);
            for name in &names {
                assert_eq!(namespace.get::<i32>(name).unwrap().as_deref(), Some(&round));
                assert!(namespace.remove(name));
                assert_eq!(namespace.get::<i32>(name).unwrap(), None);
            }
        }
    });
}
