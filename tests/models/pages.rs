//! The pages of slots, of which a context gets more while others look. In a model each has two slots, and the first array has
//! room for one.

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use super::{Tracked, leaked, read_in, set, thread};
use crate::model;

/// Keys on three pages, which have their places, so that nothing but the pages is new.
fn keys() -> [&'static Key<Tracked>; 3] {
    let [a, _, b, _, c] = ["a", "beside a", "b", "beside b", "c"].map(|name| {
        let key = leaked(Key::new("model", name));
        key.check().expect("nobody else has the name");
        key
    });
    [a, b, c]
}

#[test]
fn pages_that_come_while_a_reader_looks() {
    model("more pages, one reader", 3, || {
        let keys = keys();
        set(keys[0], 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let last = read_in(keys[2], &owner);
            let [first, second] = [keys[0], keys[1]].map(|key| read_in(key, &owner));
            assert_eq!(first, Some(1), "what has a value is found all along");
            assert!(
                matches!((second, last), (None | Some(2), None) | (Some(2), Some(3))),
                "in the order of the writes"
            );
        });
        set(keys[1], 2);
        set(keys[2], 3);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}

#[test]
fn pages_that_come_in_between_while_a_reader_lists() {
    model("pages in between, one list", 3, || {
        let keys = keys();
        set(keys[0], 1);
        let owner = get_thread_ctx().handle();
        let reader = thread::spawn(move || {
            let names = owner.namespace("model").names();
            assert!(
                [&["a"][..], &["a", "c"], &["a", "b", "c"]]
                    .contains(&&*names.iter().map(|name| &**name).collect::<Vec<_>>())
            );
        });
        set(keys[2], 3);
        set(keys[1], 2);
        reader.join().unwrap();
        exit_thread_ctx();
    });
}
