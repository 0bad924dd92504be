//! Dynamic names: the first one, slots that are used again, and names that become keys.

use threadctx::{ContextRef, Key, Snapshot, exit_thread_ctx, get_thread_ctx};

use super::{Tracked, key, leaked, thread};
use crate::model;

fn named(context: &ContextRef, name: &str) -> Option<u64> {
    let found = context.namespace("model").get::<Tracked>(name);
    found.expect("of this type").map(|value| value.read())
}

fn name(name: &str, value: u64) {
    let names = get_thread_ctx().namespace("model");
    drop(names.insert_opaque(name, Tracked::new(value)).expect("free, or of the same type"));
}

#[test]
fn a_name_given_over_to_its_key_is_found_all_along() {
    model("adoption against a reader", 4, || {
        let ctx = get_thread_ctx();
        ctx.namespace("model").insert_opaque("key", Tracked::new(1)).expect("the name is free");
        let owner = ctx.handle();
        let reader = thread::spawn(move || {
            let found = owner.namespace("model").get::<Tracked>("key").expect("of this type");
            found.expect("there at any time").read()
        });
        assert_eq!(key().with(Tracked::read), Some(1));
        assert_eq!(reader.join().unwrap(), 1);
        exit_thread_ctx();
    });
}
#[test]
fn a_first_name_against_a_reader() {
    model("a first name against a reader", 4, || {
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || named(&owner, "a"));
        name("a", 1);
        name("a", 2);
        assert!(matches!(reader.join().unwrap(), None | Some(1 | 2)));
        exit_thread_ctx();
    });
}

#[test]
fn a_slot_that_another_name_uses_again_is_not_read_by_its_former_name() {
    model("a name's slot used again", 4, || {
        name("a", 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || (named(&owner, "a"), named(&owner, "b")));
        assert!(get_thread_ctx().namespace("model").remove("a"));
        name("b", 2);
        let (a, b) = reader.join().unwrap();
        assert!(matches!(a, None | Some(1)), "a is {a:?}");
        assert!(matches!(b, None | Some(2)), "b is {b:?}");
        exit_thread_ctx();
    });
}

#[test]
fn a_name_put_in_while_its_key_comes_is_the_keys() {
    model("a name against its key's first use", 3, || {
        let key = key();
        let other = thread::spawn(move || key.check().expect("of one type"));
        name("key", 1);
        assert_eq!(key.with(Tracked::read), Some(1));
        other.join().unwrap();
        assert_eq!(key.with(Tracked::read), Some(1));
        exit_thread_ctx();
    });
}

/// A value whose end exits the context of the thread that it ends on.
struct ExitsInItsDrop(Tracked);

impl Drop for ExitsInItsDrop {
    fn drop(&mut self) {
        exit_thread_ctx();
    }
}

fn insert(value: u64) {
    let names = get_thread_ctx().namespace("model");
    let inserted = names.insert_opaque("key", ExitsInItsDrop(Tracked::new(value)));
    drop(inserted.map_err(|_| "of another type").unwrap());
}

/// One thread makes the first use of a key, a second one captures a value that it inserted by name, and a third one enters
/// that snapshot while it has a value under the name itself. No drop may run while the third one's owner is at work.
#[test]
fn a_name_and_a_snapshot_against_their_keys_first_use_drop_nothing_under_an_owner() {
    model("a key's first use against a snapshot of its name", 2, || {
        let key = leaked(Key::<ExitsInItsDrop>::new("model", "key").inherit());
        let first_use = thread::spawn(move || key.check().expect("of one type"));
        let capture = thread::spawn(|| {
            insert(2);
            let snapshot = Snapshot::capture();
            exit_thread_ctx();
            snapshot
        });
        insert(1);
        let snapshot = capture.join().unwrap();
        let entered = snapshot.enter();
        drop(snapshot);
        first_use.join().unwrap();
        let seen = key.with(|value| value.0.read());
        assert!(matches!(seen, None | Some(1 | 2)), "a value that is alive: {seen:?}");
        drop(entered);
        exit_thread_ctx();
    });
}
