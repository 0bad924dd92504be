//! Promise 12: no fixed limits. (Ten thousand threads are in `tests/alone`, memory in `tests/allocations.rs`.)

use std::thread;

use threadctx::{Key, get_thread_ctx};

use crate::support::{leaked::leaked, watchdog::within_a_minute, worker::Worker};

#[test]
fn thousands_of_keys_made_at_run_time_each_have_their_value() {
    within_a_minute(|| {
        let keys: Vec<&'static Key<usize>> =
            (0..5_000).map(|n| leaked(Key::new("limits, keys", format!("{n}").leak()))).collect();
        let (here, there) = (Worker::start(), Worker::start());
        let fill = |worker: &Worker, offset: usize| {
            let keys = keys.clone();
            worker.run(move || keys.iter().enumerate().for_each(|(n, key)| key.set(n + offset)));
        };
        fill(&here, 0);
        fill(&there, 10_000);
        let (one, two) = (here.handle(), there.handle());
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(key.get_in(&one).as_deref(), Some(&n));
            assert_eq!(key.get_in(&two).as_deref(), Some(&(n + 10_000)));
        }
        assert_eq!(one.namespace("limits, keys").names().len(), 5_000);
    });
}

#[test]
fn a_key_made_again_and_again_is_the_same_key() {
    within_a_minute(|| {
        for n in 0..5_000 {
            let key: &'static Key<u64> = leaked(Key::new("limits", "again").debug());
            assert_eq!(key.replace(n).as_deref().copied(), n.checked_sub(1));
        }
        assert_eq!(get_thread_ctx().namespace("limits").names(), ["again"]);
    });
}

#[test]
fn ten_thousand_names_in_one_namespace() {
    within_a_minute(|| {
        let namespace = get_thread_ctx().namespace("limits, names");
        let names: Vec<_> = (0..10_000).map(|n| format!("{n:05}")).collect();
        for (n, name) in names.iter().enumerate() {
            assert_eq!(namespace.insert(name, n).unwrap(), None);
        }
        assert_eq!(namespace.names(), names);
        for (n, name) in names.iter().enumerate() {
            assert_eq!(namespace.get::<usize>(name).unwrap().as_deref(), Some(&n));
        }
        let me = get_thread_ctx().handle();
        thread::spawn(move || {
            let view = me.namespace("limits, names");
            assert_eq!(view.names().len(), 10_000);
            assert_eq!(view.get::<usize>("09999").unwrap().as_deref(), Some(&9_999));
        })
        .join()
        .unwrap();
        assert!(names.iter().step_by(2).all(|name| namespace.remove(name)));
        assert_eq!(namespace.names().len(), 5_000);
        namespace.clear();
        assert!(namespace.names().is_empty());
    });
}

#[test]
fn a_thousand_namespaces_of_one_name_each() {
    within_a_minute(|| {
        let ctx = get_thread_ctx();
        let names: Vec<_> = (0..1_000).map(|n| format!("limits, namespace {n:04}")).collect();
        names.iter().for_each(|name| drop(ctx.namespace(name).insert("name", name.clone()).unwrap()));
        assert_eq!(ctx.namespaces(), names);
        for name in &names {
            assert_eq!(ctx.namespace(name).get::<String>("name").unwrap().as_deref(), Some(name));
        }
    });
}

#[test]
fn five_hundred_threads_at_once() {
    static KEY: Key<usize> = Key::new("limits", "threads");
    within_a_minute(|| {
        let workers: Vec<_> =
            (0..500).map(|_| Worker::with(thread::Builder::new().stack_size(128 << 10))).collect();
        for (n, worker) in workers.iter().enumerate() {
            worker.run(move || KEY.set(n));
        }
        let mut seen: Vec<_> = KEY.iter().map(|(_, n)| *n).collect();
        assert_eq!(seen, (0..500).collect::<Vec<_>>(), "oldest first");
        drop(workers);
        seen = KEY.iter().map(|(_, n)| *n).collect();
        assert!(seen.is_empty());
    });
}

#[test]
fn a_thousand_scopes_and_hooks_deep() {
    static KEY: Key<u32> = Key::new("limits", "deep");
    within_a_minute(|| {
        let (tell, told) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let guards: Vec<_> = (0..1_000).map(|n| KEY.enter(n)).collect();
            assert_eq!(KEY.cloned(), Some(999));
            guards.into_iter().rev().for_each(drop);
            assert_eq!(KEY.get(), None);
            for n in 0..1_000 {
                let tell = tell.clone();
                get_thread_ctx().on_exit(move |_| tell.send(n).unwrap());
            }
        })
        .join()
        .unwrap();
        assert!(told.iter().eq((0..1_000).rev()));
    });
}

#[test]
fn long_and_strange_names_are_names() {
    let ctx = get_thread_ctx();
    let long = "x".repeat(100_000);
    for name in ["", " ", ".", "a.b", "\0", "\n", "名前", "\u{202e}", long.as_str()] {
        let namespace = ctx.namespace(name);
        namespace.insert(name, name.len()).unwrap();
        assert_eq!(namespace.get::<usize>(name).unwrap().as_deref(), Some(&name.len()));
        assert_eq!(namespace.names(), [name]);
        namespace.clear();
    }
}
