//! The slot: the owner's writes against readers, and what either hands out.

use threadctx::{Arc, exit_thread_ctx, get_thread_ctx};

use super::{Tracked, key, leaked, read_in, set, thread};
use crate::model;

#[test]
fn slot_three_writes_against_a_reader() {
    model("three writes, one reader", 5, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        (2..=4).for_each(|value| set(key, value));
        assert!(matches!(reader.join().unwrap(), Some(1..=4)));
        assert_eq!(key.with(Tracked::read), Some(4));
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_write_against_two_readers() {
    model("one write, two readers", 1, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let readers = [owner.clone(), owner].map(|owner| thread::spawn(move || read_in(key, &owner)));
        set(key, 2);
        for reader in readers {
            assert!(matches!(reader.join().unwrap(), Some(1 | 2)));
        }
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_look_that_takes_no_count_against_writes() {
    model("a look that takes no count, two writes", 5, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let looker = thread::spawn(move || {
            let first = key.look_in(&owner, Tracked::read);
            let second = key.look_in(&owner, Tracked::read);
            assert!(first.is_some() && second >= first, "values do not go back: {first:?}, {second:?}");
        });
        set(key, 2);
        set(key, 3);
        looker.join().unwrap();
        assert_eq!(key.with(Tracked::read), Some(3));
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_look_that_takes_no_count_beside_a_reader_that_does() {
    model("a look that takes no count, a reader, a write", 1, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let looker = {
            let owner = owner.clone();
            thread::spawn(move || key.look_in(&owner, Tracked::read))
        };
        let reader = thread::spawn(move || {
            let kept = key.get_in(&owner).expect("there is a value at any time");
            let before = kept.read();
            (before, kept.read())
        });
        set(key, 2);
        assert!(matches!(looker.join().unwrap(), Some(1 | 2)));
        let (before, after) = reader.join().unwrap();
        assert_eq!(before, after, "what was handed out was written in place");
        exit_thread_ctx();
    });
}

#[test]
fn slot_what_a_reader_keeps_does_not_change() {
    model("a reader that keeps its count", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let kept = key.get_in(&owner).expect("there is a value at any time");
            let before = kept.read();
            let again = read_in(key, &owner).expect("there is a value at any time");
            assert!(again >= before, "values do not go back");
            assert_eq!(kept.read(), before);
        });
        set(key, 2);
        set(key, 3);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_weak_that_is_upgraded_late_sees_its_value_or_nothing() {
    model("a weak count upgraded late", 5, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let kept = key.get_in(&owner).expect("there is a value at any time");
            let (value, weak) = (kept.read(), Arc::downgrade(&kept));
            drop(kept);
            if let Some(late) = weak.upgrade() {
                assert_eq!(late.read(), value, "the allocation was reused under a weak count");
            }
        });
        set(key, 2);
        set(key, 3);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn slot_what_the_owner_hands_out_is_exposed() {
    model("the owner's own count, read elsewhere", 5, || {
        let key = key();
        set(key, 1);
        let handed = key.get().expect("just set");
        let other = thread::spawn(move || handed.read());
        set(key, 2);
        set(key, 3);
        assert_eq!(other.join().unwrap(), 1);
        exit_thread_ctx();
    });
}

#[test]
fn slot_replace_and_take_against_a_reader() {
    model("replace and take, one reader", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        let former = key.replace(Tracked::new(2)).expect("there was a value");
        assert_eq!(former.read(), 1);
        drop(former);
        assert_eq!(key.take().expect("there was a value").read(), 2);
        assert!(matches!(reader.join().unwrap(), None | Some(1 | 2)));
        exit_thread_ctx();
    });
}

#[test]
fn slot_retired_values_end_once_nobody_is_inside() {
    model("the retire list", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || drop(key.get_in(&owner)));
        // A write during a borrow publishes and retires, whatever the reader does.
        key.with(|one| {
            set(key, 2);
            assert_eq!(one.read(), 1);
        });
        set(key, 3);
        reader.join().unwrap();
        set(key, 4);
        exit_thread_ctx();
    });
}

#[test]
fn slot_the_owner_hands_out_while_a_reader_enters() {
    model("both hand out at once", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || key.get_in(&owner).expect("there is a value at any time"));
        let mine = key.get().expect("just set");
        set(key, 2);
        assert_eq!(mine.read(), 1);
        let theirs = reader.join().unwrap();
        let seen = theirs.read();
        assert!(matches!(seen, 1 | 2));
        set(key, 3);
        assert_eq!(theirs.read(), seen, "what somebody holds does not change");
        exit_thread_ctx();
    });
}

#[test]
fn slot_a_scope_puts_back_what_was_there_under_a_reader() {
    model("a scope against a reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        key.scope(Tracked::new(2), || assert_eq!(key.with(Tracked::read), Some(2)));
        assert_eq!(key.with(Tracked::read), Some(1));
        set(key, 3);
        assert!(matches!(reader.join().unwrap(), Some(1..=3)));
        exit_thread_ctx();
    });
}

#[test]
fn slot_writes_inside_a_borrow_against_a_reader() {
    model("writes inside a borrow, one reader", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        key.with(|one| {
            set(key, 2);
            set(key, 3);
            assert_eq!(one.read(), 1);
        });
        assert!(matches!(reader.join().unwrap(), Some(1..=3)));
        assert_eq!(key.with(Tracked::read), Some(3));
        exit_thread_ctx();
    });
}

#[test]
fn slot_an_exit_against_two_readers() {
    model("an exit, two readers", 1, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let readers = [owner.clone(), owner].map(|owner| thread::spawn(move || read_in(key, &owner)));
        exit_thread_ctx();
        for reader in readers {
            assert!(matches!(reader.join().unwrap(), None | Some(1)));
        }
    });
}

#[test]
fn slot_a_dump_against_writes() {
    model("a dump against writes", 3, || {
        let key = leaked(threadctx::Key::new("model", "shown").debug());
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let dumper = thread::spawn(move || owner.dump().to_string());
        set(key, 2);
        set(key, 3);
        let text = dumper.join().unwrap();
        assert!(["= 1 ", "= 2 ", "= 3 "].iter().any(|value| text.contains(value)), "{text}");
        exit_thread_ctx();
    });
}
