//! What each of a key's calls does to the current context's value.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use threadctx::Key;

use crate::support::tracked::{Drops, Tracked};

fn panics(code: impl FnOnce()) -> bool {
    panic::catch_unwind(AssertUnwindSafe(code)).is_err()
}

#[test]
fn what_was_set_is_read_in_every_way() {
    static KEY: Key<String> = Key::new("values", "read");
    KEY.set("a".to_owned());
    assert_eq!(KEY.with(|value| value.len()), Some(1));
    assert_eq!(KEY.get().unwrap().as_str(), "a");
    assert_eq!(KEY.cloned().unwrap(), "a");
    assert_eq!(KEY.get_in(&threadctx::get_thread_ctx().handle()).unwrap().as_str(), "a");
    assert!(KEY.try_set("b".to_owned()).is_ok());
    assert_eq!(KEY.cloned().unwrap(), "b");
}

#[test]
fn replace_and_take_give_what_was_there() {
    static KEY: Key<u8> = Key::new("values", "former");
    assert_eq!(KEY.replace(1), None);
    assert_eq!(KEY.replace(2).as_deref(), Some(&1));
    assert_eq!(KEY.take().as_deref(), Some(&2));
    assert_eq!(KEY.take(), None);
    assert_eq!(KEY.get(), None);
}

#[test]
fn a_kept_count_does_not_change_when_the_key_does() {
    static KEY: Key<u8> = Key::new("values", "kept");
    KEY.set(1);
    let kept = KEY.get().unwrap();
    KEY.set(2);
    KEY.update(|value| *value += 1);
    assert_eq!((*kept, KEY.cloned()), (1, Some(3)));
    drop(KEY.take());
    assert_eq!(*kept, 1);
}

#[test]
fn a_write_inside_with_leaves_the_borrowed_value_as_it_is() {
    static KEY: Key<Tracked> = Key::new("values", "borrowed");
    let drops = Drops::default();
    KEY.set(drops.value(0));
    KEY.with(|outer| {
        KEY.set(drops.value(1));
        KEY.with(|inner| {
            drop(KEY.replace(drops.value(2)));
            drop(KEY.take());
            assert_eq!((outer.number, inner.number), (0, 1));
        });
        KEY.set(drops.value(3));
        assert_eq!(outer.number, 0);
        assert!(!drops.numbers().contains(&0), "it is borrowed");
    });
    // The end of the borrow is when nothing needs them any more.
    let mut dropped = drops.numbers();
    dropped.sort_unstable();
    assert_eq!(dropped, [0, 1, 2]);
    assert_eq!(KEY.with(|value| value.number), Some(3));
    drop(KEY.take());
    drops.assert_each_once(4);
}

#[test]
fn a_panic_inside_with_ends_the_borrow() {
    static KEY: Key<Tracked> = Key::new("values", "borrow panics");
    let drops = Drops::default();
    KEY.set(drops.value(0));
    assert!(panics(|| {
        KEY.with(|_| {
            KEY.set(drops.value(1));
            panic!("expected");
        });
    }));
    assert_eq!(drops.numbers(), [0]);
    KEY.set(drops.value(2));
    assert_eq!(drops.numbers(), [0, 1]);
}

#[test]
fn an_update_that_panics_changes_nothing() {
    static KEY: Key<Vec<u8>> = Key::new("values", "all or nothing");
    KEY.set(vec![1]);
    assert!(panics(|| {
        KEY.update(|value| {
            value.push(2);
            panic!("expected");
        });
    }));
    assert_eq!(KEY.cloned().unwrap(), [1]);
    assert_eq!(KEY.update(|value| value.len()), Some(1));
}

#[test]
fn an_update_without_a_value_does_not_run() {
    static KEY: Key<u8> = Key::new("values", "nothing to update");
    assert_eq!(KEY.update(|_| panic!("there is nothing to update")), None::<()>);
    assert_eq!(KEY.get(), None);
}

#[test]
fn an_update_makes_the_first_value_if_the_key_can() {
    static KEY: Key<u8> = Key::new("values", "made to be updated").init(|| 10);
    assert_eq!(KEY.update(|value| *value += 1), Some(()));
    assert_eq!(KEY.cloned(), Some(11));
}

#[test]
fn of_an_update_within_an_update_the_outer_result_stays() {
    static KEY: Key<u8> = Key::new("values", "nested update");
    KEY.set(1);
    KEY.update(|outer| {
        KEY.update(|inner| *inner = 50);
        assert_eq!(KEY.cloned(), Some(50));
        *outer += 1;
    });
    assert_eq!(KEY.cloned(), Some(2));
}

#[test]
fn the_initialiser_runs_once_per_context() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static KEY: Key<usize> = Key::new("values", "once").init(|| RUNS.fetch_add(1, Ordering::SeqCst));
    for expected in 0..3 {
        thread::spawn(move || {
            assert_eq!(KEY.with(|value| *value), Some(expected));
            assert_eq!(KEY.get().as_deref(), Some(&expected));
            assert_eq!(KEY.cloned(), Some(expected));
        })
        .join()
        .unwrap();
    }
    assert_eq!(RUNS.load(Ordering::SeqCst), 3);
}

#[test]
fn an_initialiser_that_asks_for_its_own_key_finds_it_absent() {
    static KEY: Key<bool> = Key::new("values", "asks for itself")
        .init(|| KEY.get().is_none() && KEY.with(|_| ()).is_none() && KEY.cloned().is_none());
    assert_eq!(KEY.cloned(), Some(true));
}

#[test]
fn an_initialiser_that_panicked_is_asked_again() {
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static KEY: Key<usize> = Key::new("values", "panics first").init(|| {
        let run = RUNS.fetch_add(1, Ordering::SeqCst);
        assert!(run > 0, "expected");
        run
    });
    assert!(panics(|| drop(KEY.get())));
    assert_eq!(KEY.cloned(), Some(1));
}

#[test]
fn others_never_run_an_initialiser() {
    static KEY: Key<u8> = Key::new("values", "not by others").init(|| panic!("nobody asked for it"));
    let me = threadctx::get_thread_ctx().handle();
    assert_eq!(thread::spawn(move || KEY.get_in(&me)).join().unwrap(), None);
    assert_eq!(KEY.iter().count(), 0);
}

#[test]
fn get_or_init_makes_what_is_absent_and_keeps_what_is_there() {
    static KEY: Key<u8> = Key::new("values", "get or init");
    let made = KEY.get_or_init(|| 1);
    assert!(Arc::ptr_eq(&made, &KEY.get().unwrap()));
    assert_eq!(*KEY.get_or_init(|| panic!("there is one")), 1);
}

#[test]
fn of_two_nested_get_or_init_the_inner_value_stays() {
    static KEY: Key<Tracked> = Key::new("values", "nested init");
    let drops = Drops::default();
    let value = KEY.get_or_init(|| {
        assert_eq!(KEY.get_or_init(|| drops.value(1)).number, 1);
        drops.value(0)
    });
    assert_eq!(value.number, 1);
    assert_eq!(drops.numbers(), [0], "what came too late is dropped");
}

#[test]
fn what_an_initialiser_sets_itself_stays() {
    static KEY: Key<u8> = Key::new("values", "sets itself").init(|| {
        KEY.set(7);
        1
    });
    assert_eq!(KEY.cloned(), Some(7));
}

#[test]
fn an_error_from_get_or_try_init_stores_nothing() {
    static KEY: Key<u8> = Key::new("values", "fallible");
    assert_eq!(KEY.get_or_try_init(|| Err("expected")), Err("expected"));
    assert_eq!(KEY.get(), None);
    assert_eq!(KEY.get_or_try_init(|| Ok::<_, ()>(2)).as_deref(), Ok(&2));
    assert_eq!(KEY.get_or_try_init(|| Err("not asked")).as_deref(), Ok(&2));
}

#[test]
fn a_get_or_init_that_panics_leaves_the_key_usable() {
    static KEY: Key<u8> = Key::new("values", "init panics");
    assert!(panics(|| drop(KEY.get_or_init(|| panic!("expected")))));
    assert_eq!(KEY.get(), None);
    assert_eq!(*KEY.get_or_init(|| 3), 3);
}

#[test]
fn a_former_value_whose_drop_panics_is_replaced_all_the_same() {
    struct Bomb(u8);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert_ne!(self.0, 0, "expected");
        }
    }
    static KEY: Key<Bomb> = Key::new("values", "drop panics");
    KEY.set(Bomb(0));
    assert!(panics(|| KEY.set(Bomb(1))));
    assert_eq!(KEY.with(|bomb| bomb.0), Some(1));
    KEY.set(Bomb(2));
    assert_eq!(KEY.with(|bomb| bomb.0), Some(2));
}

#[test]
fn values_of_every_size_and_alignment_are_kept_whole() {
    #[repr(align(128))]
    #[derive(Clone, Debug, PartialEq)]
    struct Wide([u64; 32]);
    static NOTHING: Key<()> = Key::new("values", "zero sized");
    static WIDE: Key<Wide> = Key::new("values", "wide");
    NOTHING.set(());
    assert_eq!(NOTHING.replace(()).as_deref(), Some(&()));
    assert_eq!(NOTHING.take().as_deref(), Some(&()));
    assert_eq!(NOTHING.get(), None);
    for n in 0..4 {
        WIDE.set(Wide([n; 32]));
        assert_eq!(WIDE.cloned(), Some(Wide([n; 32])));
        assert_eq!(WIDE.with(|value| std::ptr::from_ref(value).addr() % 128), Some(0));
    }
}
