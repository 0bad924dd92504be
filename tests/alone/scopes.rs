//! Scopes that end out of order are counted, each of them, and no others.

use std::panic;

use threadctx::{Key, Snapshot, get_thread_ctx, stats};

use crate::alone;

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
