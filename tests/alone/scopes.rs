//! Scopes that end out of order are counted, each of them, and no others.

use std::panic;

use threadctx::{FutureExt, Key, Snapshot, get_thread_ctx, stats};

use crate::{
    alone,
    support::executor::{block_on, pause},
};

const NS: &str = "alone scopes";

/// How many scopes `code` ends out of order.
fn out_of_order(code: impl FnOnce()) -> u64 {
    let before = stats().scopes_out_of_order;
    code();
    stats().scopes_out_of_order - before
}

#[test]
fn each_guard_that_does_not_find_its_own_value_in_place_is_counted() {
    alone(|| {
        static KEY: Key<u8> = Key::new(NS, "counted").inherit();
        static OTHER: Key<u8> = Key::new(NS, "counted: other");
        let (one, two, three) = (KEY.enter(1), KEY.enter(2), KEY.enter(3));
        assert_eq!(out_of_order(|| drop(two)), 1, "three's value is in place");
        assert_eq!(out_of_order(|| drop(one)), 0, "it finds its own value, which two has put back");
        assert_eq!(out_of_order(|| drop(three)), 1, "what was before one is in place");
        KEY.take();
        let (one, other, two) = (KEY.enter(1), OTHER.enter(1), KEY.enter(2));
        assert_eq!(out_of_order(|| drop(other)), 0, "no other scope of its key is open");
        assert_eq!(out_of_order(|| drop(two)), 0);
        assert_eq!(out_of_order(|| drop(one)), 0);
    });
}

#[test]
fn guards_of_keys_and_of_snapshots_that_overlap_are_counted_where_the_key_inherits() {
    alone(|| {
        static KEY: Key<u8> = Key::new(NS, "overlap").inherit();
        static SILENT: Key<u8> = Key::new(NS, "overlap");
        static STAYS: Key<u8> = Key::new(NS, "overlap: stays");
        KEY.check().unwrap();
        for key in [&KEY, &SILENT] {
            let (snapshot, scope) = (Snapshot::default().enter(), key.enter(1));
            assert_eq!(out_of_order(|| drop(snapshot)), 1);
            assert_eq!(out_of_order(|| drop(scope)), 1);
            KEY.take();
            let (scope, snapshot) = (key.enter(1), Snapshot::default().enter());
            assert_eq!(out_of_order(|| drop(scope)), 1);
            assert_eq!(out_of_order(|| drop(snapshot)), 1);
            KEY.take();
        }
        let (one, two) = (Snapshot::default().enter(), Snapshot::default().enter());
        assert_eq!(out_of_order(|| drop(one)), 1);
        assert_eq!(out_of_order(|| drop(two)), 1);
        let (snapshot, stays) = (Snapshot::default().enter(), STAYS.enter(1));
        assert_eq!(out_of_order(|| drop((snapshot, stays))), 0, "they set no key in common");
    });
}

#[test]
fn whatever_is_written_inside_a_scope_it_ends_in_order() {
    alone(|| {
        static KEY: Key<u8> = Key::new(NS, "in order").inherit();
        KEY.set(0);
        let kept = KEY.get();
        let inside: &[&dyn Fn()] = &[
            &|| KEY.set(1),
            &|| _ = (KEY.get(), KEY.set(1)),
            &|| _ = (KEY.take(), KEY.replace(1)),
            &|| _ = KEY.take(),
            &|| get_thread_ctx().clear(),
            &|| KEY.scope(1, || KEY.set(2)),
            &|| Snapshot::capture().run(|| KEY.scope(1, || KEY.set(2))),
            &|| _ = panic::catch_unwind(|| KEY.scope(1, || panic!("expected"))),
        ];
        for code in inside {
            assert_eq!(out_of_order(|| KEY.scope(5, code)), 0);
            assert_eq!(out_of_order(|| Snapshot::default().run(code)), 0);
            assert_eq!(KEY.get(), kept);
        }
    });
}

#[test]
fn a_guard_that_is_forgotten_does_not_disturb_later_ones() {
    alone(|| {
        static KEY: Key<u8> = Key::new(NS, "forgotten");
        std::mem::forget(KEY.enter(1));
        assert_eq!(out_of_order(|| KEY.scope(2, || KEY.scope(3, || ()))), 0);
        assert_eq!(KEY.cloned(), Some(1));
    });
}

/// Gives way so often.
async fn pauses(turns: u32) {
    for _ in 0..turns {
        pause().await;
    }
}

#[test]
fn guards_that_two_futures_hold_over_their_awaits_are_counted_where_they_do_not_nest() {
    static USER: Key<&str> = Key::new(NS, "join");
    let handler = |name, turns| async move {
        let _user = USER.enter(name);
        pauses(turns).await;
        USER.cloned()
    };
    let both = move |turns: [u32; 2]| async move {
        let seen = tokio::join!(handler("alice", turns[0]), handler("bob", turns[1]));
        (seen, USER.take().as_deref().copied())
    };
    alone(move || {
        let mixed = ((Some("bob"), None), Some("alice"));
        assert_eq!(out_of_order(|| assert_eq!(block_on(both([1, 3])), mixed)), 2);
        assert_eq!(out_of_order(|| assert_eq!(block_on(both([1, 3]).in_context()), mixed)), 2, "in a task");
        // The other way round they happen to nest: what is there at the end is right, and nothing shows.
        assert_eq!(
            out_of_order(|| assert_eq!(block_on(both([3, 1])), ((Some("alice"), Some("bob")), None))),
            0
        );
    });
}

#[test]
fn scopes_of_futures_end_in_order_and_so_do_guards_inside_them() {
    static USER: Key<&str> = Key::new(NS, "futures").inherit();
    static OTHER: Key<&str> = Key::new(NS, "futures: other");
    let handler = |name, turns| {
        let inside = async move {
            let guards = (OTHER.enter("other"), USER.enter("as root"));
            pauses(turns).await;
            drop(guards);
            pauses(turns).await;
            USER.scope("as root", || ());
            assert_eq!((USER.cloned(), OTHER.cloned()), (Some(name), Some(name)));
        };
        USER.scope_future(name, OTHER.scope_future(name, inside))
    };
    alone(move || {
        for turns in [[1, 3], [3, 1], [2, 2]] {
            assert_eq!(out_of_order(|| block_on(handler("alice", turns[0]))), 0);
            let both = async move { tokio::join!(handler("alice", turns[0]), handler("bob", turns[1])) };
            assert_eq!(out_of_order(|| _ = block_on(both)), 0);
            assert_eq!(USER.get(), None);
        }
    });
}

#[test]
fn what_a_future_ends_of_a_scope_around_its_own_is_counted() {
    static KEY: Key<u8> = Key::new(NS, "around").inherit();
    alone(|| {
        let guard = KEY.enter(1);
        let ends_it = KEY.scope_future(2, async move { drop(guard) });
        assert_eq!(out_of_order(|| block_on(ends_it)), 2, "the guard, and the future's own");
        let snapshots = KEY.scope_future(2, async {
            let _held = Snapshot::default().enter();
            pause().await;
        });
        assert_eq!(out_of_order(|| block_on(snapshots)), 2, "a snapshot's scope that is held over an await");
        KEY.take();
    });
}
