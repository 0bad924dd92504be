//! A reader that the scheduler leaves standing inside a slot: the owner must get to its end all the same. If it waited for
//! the reader, which goes on only once the owner is done, both would wait for ever.

use threadctx::{Arc, ContextRef, Key, at_next_share, exit_thread_ctx, get_thread_ctx};

use super::{Event, Tracked, alive, key, leaked, read_in, set, thread};
use crate::model;

/// The two ends of a stall.
struct Stall {
    begun: std::sync::Arc<Event>,
    over: std::sync::Arc<Event>,
}

/// A reader that enters the slot of `key` and stays inside until the stall is over; then it gives what it found.
fn stalled_reader(
    key: &'static Key<Tracked>,
    owner: ContextRef,
) -> (Stall, thread::JoinHandle<Option<Arc<Tracked>>>) {
    let stall = Stall { begun: Event::new(), over: Event::new() };
    let (begun, over) = (std::sync::Arc::clone(&stall.begun), std::sync::Arc::clone(&stall.over));
    let reader = thread::spawn(move || {
        at_next_share(move || {
            begun.happen();
            over.wait();
        });
        key.get_in(&owner)
    });
    stall.begun.wait();
    (stall, reader)
}

#[test]
fn the_owner_writes_on_past_a_reader_that_stalls_inside() {
    model("writes past a stalled reader", 4, || {
        let key = key();
        set(key, 1);
        let (stall, reader) = stalled_reader(key, get_thread_ctx().handle());
        set(key, 2);
        assert_eq!(key.replace(Tracked::new(3)).expect("there was a value").read(), 2);
        assert_eq!(key.take().expect("there was a value").read(), 3);
        set(key, 4);
        stall.over.happen();
        set(key, 5);
        let found = reader.join().unwrap().expect("it was inside while there was a value");
        assert_eq!(found.read(), 1, "what a reader is inside for is kept for it");
        drop(found);
        exit_thread_ctx();
    });
}

#[test]
fn another_reader_gets_past_a_reader_that_stalls_inside() {
    model("a reader past a stalled reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let (stall, reader) = stalled_reader(key, owner.clone());
        let other = thread::spawn(move || key.get_in(&owner).expect("there at any time").read());
        set(key, 2);
        assert!(matches!(other.join().unwrap(), 1 | 2));
        stall.over.happen();
        assert_eq!(reader.join().unwrap().expect("it was inside").read(), 1);
        exit_thread_ctx();
    });
}

#[test]
fn an_exit_goes_on_past_a_reader_that_stalls_inside() {
    model("an exit past a stalled reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let (stall, reader) = stalled_reader(key, owner);
        exit_thread_ctx();
        assert_eq!(threadctx::stats().live, 0, "the context has left");
        stall.over.happen();
        assert_eq!(reader.join().unwrap().expect("it was inside").read(), 1);
    });
}

#[test]
fn a_name_is_written_past_a_reader_that_stalls_inside() {
    model("a name past a stalled reader", 4, || {
        let names = get_thread_ctx().namespace("model");
        names.insert_opaque("name", Tracked::new(1)).expect("the name is free");
        let owner = get_thread_ctx().handle();
        let stall = Stall { begun: Event::new(), over: Event::new() };
        let (begun, over) = (std::sync::Arc::clone(&stall.begun), std::sync::Arc::clone(&stall.over));
        let reader = thread::spawn(move || {
            at_next_share(move || {
                begun.happen();
                over.wait();
            });
            owner.namespace("model").get::<Tracked>("name").expect("of this type").map(|value| value.read())
        });
        stall.begun.wait();
        drop(names.insert_opaque("name", Tracked::new(2)).expect("of the same type"));
        assert!(names.remove("name"));
        stall.over.happen();
        assert_eq!(reader.join().unwrap(), Some(1));
        exit_thread_ctx();
    });
}

/// A value whose end waits.
struct Waits {
    number: u64,
    until: Option<std::sync::Arc<Event>>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.until.iter().for_each(|until| until.wait());
    }
}

/// The owner displaces a value whose drop waits for a reader of the same slot to have what it came for. That drop may be the
/// reader's own, as the last thing in its call: it must not come sooner.
fn drop_that_waits_for_a_reader(key: &'static Key<Waits>, before: impl FnOnce()) {
    let has_read = Event::new();
    key.set(Waits { number: 1, until: Some(std::sync::Arc::clone(&has_read)) });
    before();
    let owner = get_thread_ctx().handle();
    let reader = thread::spawn(move || {
        at_next_share(move || has_read.happen());
        key.get_in(&owner).expect("there is a value at any time").number
    });
    key.set(Waits { number: 2, until: None });
    assert!(matches!(reader.join().unwrap(), 1 | 2));
    exit_thread_ctx();
}

#[test]
fn a_reader_does_not_wait_for_the_drop_of_what_a_write_displaces() {
    model("a drop that waits for a reader", 3, || {
        drop_that_waits_for_a_reader(leaked(Key::new("model", "waits")), || ());
    });
}

#[test]
fn a_reader_does_not_wait_for_the_drop_of_what_was_handed_out_before() {
    model("a drop that waits, once exposed", 3, || {
        let key = leaked(Key::new("model", "waits"));
        drop_that_waits_for_a_reader(key, || drop(key.get()));
    });
}

#[test]
fn a_reader_does_not_wait_for_the_drops_of_an_exit() {
    model("an exit whose drop waits for a reader", 3, || {
        let key = leaked(Key::new("model", "waits"));
        let has_looked = Event::new();
        key.set(Waits { number: 1, until: Some(std::sync::Arc::clone(&has_looked)) });
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let found = key.get_in(&owner);
            has_looked.happen();
            found.map(|value| value.number)
        });
        exit_thread_ctx();
        assert!(matches!(reader.join().unwrap(), None | Some(1)));
    });
}

#[test]
fn a_value_drops_when_the_last_reader_has_left_though_its_owner_does_nothing() {
    model("a value taken from a stalled reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let (stall, reader) = stalled_reader(key, owner.clone());
        drop(key.take());
        assert_eq!(alive(), 1, "it is kept for the reader");
        stall.over.happen();
        drop(reader.join().unwrap());
        assert_eq!(alive(), 0, "the reader lets go of it");
        drop(owner);
        exit_thread_ctx();
    });
}

/// Whichever of the two comes last, the owner or the reader, drops the value.
#[test]
fn a_value_that_is_taken_while_it_is_read_drops_with_the_last_of_its_counts() {
    model("a value taken against a reader", 4, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        drop(key.take());
        assert!(matches!(reader.join().unwrap(), None | Some(1)));
        assert_eq!(alive(), 0);
        exit_thread_ctx();
    });
}

/// Two slots, and so two values in one list, each with a reader of its own: a collector may have the other's entry in hand.
#[test]
fn values_of_two_slots_that_wait_at_once_both_drop() {
    model("two values taken against their readers", 2, || {
        let (one, other) = (key(), leaked(Key::new("model", "other")));
        set(one, 1);
        set(other, 2);
        let owners = [get_thread_ctx().handle(), get_thread_ctx().handle()];
        let [first, second] = owners;
        let readers =
            [thread::spawn(move || read_in(one, &first)), thread::spawn(move || read_in(other, &second))];
        drop(one.take());
        drop(other.take());
        readers.into_iter().for_each(|reader| _ = reader.join().unwrap());
        assert_eq!(alive(), 0);
        exit_thread_ctx();
    });
}

/// The reader of the first value may collect while the second one is put aside.
#[test]
fn of_two_values_that_are_replaced_under_a_reader_none_is_left_behind() {
    model("two writes and a take against a reader", 3, || {
        let key = key();
        set(key, 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || read_in(key, &owner));
        set(key, 2);
        drop(key.take());
        assert!(matches!(reader.join().unwrap(), None | Some(1 | 2)));
        assert_eq!(alive(), 0);
        exit_thread_ctx();
    });
}
