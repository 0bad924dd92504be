//! The first use of keys, by two threads at once.

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use super::{Event, Tracked, key, leaked, read_in, set, thread};
use crate::model;

#[test]
fn two_threads_that_first_use_one_key_at_once_agree() {
    model("one key, first used twice", 3, || {
        // Of a key that is the first of its page, one half of the place is 0, whether it is known or not.
        leaked(Key::<u64>::new("model", "first")).check().expect("nobody else has the name");
        let key = key();
        let other = thread::spawn(move || {
            set(key, 1);
            assert_eq!(key.with(Tracked::read), Some(1));
            exit_thread_ctx();
        });
        set(key, 2);
        let owner = get_thread_ctx().handle();
        assert_eq!(read_in(key, &owner), Some(2));
        other.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn two_statics_of_one_name_first_used_at_once_are_one_key() {
    model("two statics, one key", 3, || {
        let (one, other) = (key(), key());
        let (done, end) = (Event::new(), Event::new());
        let (says, until) = (std::sync::Arc::clone(&done), std::sync::Arc::clone(&end));
        let worker = thread::spawn(move || {
            set(one, 1);
            says.happen();
            until.wait();
            exit_thread_ctx();
        });
        set(other, 2);
        done.wait();
        let mut seen: Vec<_> = other.iter().map(|(_, value)| value.read()).collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
        end.happen();
        worker.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn of_two_types_that_come_at_once_under_one_name_one_is_refused() {
    model("two types, one name", 5, || {
        let (tracked, number) = (key(), leaked(Key::<u64>::new("model", "key")));
        let worker = thread::spawn(move || tracked.check().is_ok());
        let mine = number.check().is_ok();
        assert!(worker.join().unwrap() != mine, "one comes first, and the other is told");
        assert_eq!(number.check().is_ok(), mine, "and it stays so");
    });
}

#[test]
fn a_key_that_is_new_is_listed_as_soon_as_it_has_a_value() {
    model("a new key against a list", 5, || {
        let owner = get_thread_ctx().handle();
        let lister = thread::spawn(move || owner.namespace("model").names());
        set(key(), 1);
        let names = lister.join().unwrap();
        assert!(names.is_empty() || names == ["key"], "{names:?}");
        assert_eq!(get_thread_ctx().namespace("model").names(), ["key"]);
        exit_thread_ctx();
    });
}

/// Two statics that are shown come at once: for whoever has used one, the key is visible.
#[test]
fn a_key_that_two_threads_make_visible_is_so_for_each_of_them() {
    model("a key made visible twice", 4, || {
        let silent = leaked(Key::<u64>::new("model", "key"));
        silent.set(1);
        let make_visible = || leaked(Key::<u64>::new("model", "key").debug()).check();
        let other = thread::spawn(move || make_visible().expect("it is of the same type"));
        make_visible().expect("it is of the same type");
        silent.set(2);
        let seen = get_thread_ctx().handle().dump().to_json();
        assert!(seen.contains("age_us"), "its last write has a time: {seen}");
        other.join().unwrap();
        exit_thread_ctx();
    });
}

/// The one that is shown comes while the other one's value comes, in a page that comes too, and is written.
#[test]
fn a_key_that_becomes_visible_gets_the_times_of_all_later_writes() {
    model("a key that becomes visible against writes", 5, || {
        let silent = leaked(Key::<u64>::new("model", "key"));
        let shows = leaked(Key::<u64>::new("model", "key").debug());
        silent.check().expect("nobody else has the name");
        let other = thread::spawn(move || shows.check().expect("it is of the same type"));
        silent.set(1);
        silent.set(2);
        other.join().unwrap();
        silent.set(3);
        let seen = get_thread_ctx().handle().dump().to_json();
        assert!(seen.contains("age_us"), "its last write has a time: {seen}");
        exit_thread_ctx();
    });
}
