//! Over the number of keys and of names that have a value in the context.

use std::hint::black_box;

use threadctx::{Key, exit_thread_ctx, get_thread_ctx};

use crate::{
    plot::Chart,
    timing::{Plan, interleaved, looped},
};

const SIZES: [usize; 5] = [1, 10, 100, 1_000, 10_000];

fn sizes(plan: &Plan) -> &'static [usize] {
    if plan.quick { &SIZES[..3] } else { &SIZES[..] }
}

/// Keys made at run time.
fn keys() -> Vec<&'static Key<u64>> {
    let key = |number| Key::new("by-keys", &*format!("key-{number}").leak());
    (0..SIZES[SIZES.len() - 1]).map(|number| &*Box::leak(Box::new(key(number)))).collect()
}

pub(crate) fn by_keys(plan: &Plan) -> Chart {
    let keys = keys();
    let about = ("by-keys", "By keys with a value", "keys");
    let names = ["owner read of the last", "owner write of the last", "owner read, each in turn"];
    Chart::new(about, names, sizes(plan), |size| {
        keys[..size].iter().for_each(|key| key.set(7));
        let last = keys[size - 1];
        let mut turn = keys[..size].iter().cycle();
        let sides = [
            looped(|| last.with(|value| *value)),
            looped(|| last.set(black_box(7))),
            looped(|| turn.next().and_then(|key| key.with(|value| *value))),
        ];
        interleaved(plan, sides).map(|figures| figures.median)
    })
}

pub(crate) fn by_names(plan: &Plan) -> Chart {
    exit_thread_ctx();
    let about = ("by-names", "By names with a value", "names");
    Chart::new(about, ["Namespace::get", "Namespace::insert", "Key::with"], sizes(plan), |size| {
        static KEY: Key<u64> = Key::new("by-names", "key");
        let named = || get_thread_ctx().namespace(black_box("by-names"));
        for number in 0..size {
            named().insert_opaque(&format!("name-{number}"), 7_u64).expect("the names have this type");
        }
        KEY.set(7);
        let last = format!("name-{}", size - 1);
        let sides = [
            looped(|| named().get::<u64>(black_box(&last))),
            looped(|| named().insert_opaque(black_box(&last), 7_u64).is_ok()),
            looped(|| KEY.with(|value| *value)),
        ];
        interleaved(plan, sides).map(|figures| figures.median)
    })
}
