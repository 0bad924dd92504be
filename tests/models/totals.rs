//! Totals against exits: each value counts once, in its slot or in what is kept.

use threadctx::{Key, exit_thread_ctx};

use super::{AtomicUsize, Ordering, leaked, thread};
use crate::model;

fn total_key() -> &'static Key<u64> {
    leaked(Key::new("model", "total").keep_total(|one, other| one + other))
}

#[test]
fn total_sees_each_value_once_while_a_thread_exits() {
    model("total against exit", 4, || {
        let key = total_key();
        key.set(10);
        let is_set = std::sync::Arc::new(AtomicUsize::new(0));
        let sees = std::sync::Arc::clone(&is_set);
        let worker = thread::spawn(move || {
            key.set(1);
            is_set.store(1, Ordering::Release);
            exit_thread_ctx();
        });
        let was_set = sees.load(Ordering::Acquire) == 1;
        let total = key.total();
        assert!(total == Some(11) || (!was_set && total == Some(10)), "{total:?}");
        worker.join().unwrap();
        assert_eq!(key.total(), Some(11));
        exit_thread_ctx();
    });
}

#[test]
fn two_exits_pile_up_into_one_total() {
    model("two exits, one total", 3, || {
        let key = total_key();
        let workers = [1, 2].map(|value| {
            thread::spawn(move || {
                key.set(value);
                exit_thread_ctx();
            })
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(key.total(), Some(3));
    });
}
