//! A look-up by a name that is known at run time only.

use std::{any::Any, cell::RefCell, collections::HashMap, hint::black_box, sync::Arc};

use threadctx::get_thread_ctx;

use crate::{
    row::Row,
    timing::{Plan, interleaved, looped},
};

/// How many names there are beside the one that is looked up.
const OTHERS: usize = 15;

type Values = HashMap<String, Arc<dyn Any + Send + Sync>>;

thread_local! {
    static MAP: RefCell<Values> = RefCell::default();
}

fn look_up(name: &str) -> Option<Arc<u64>> {
    MAP.with_borrow(|map| map.get(name).and_then(|value| Arc::clone(value).downcast().ok()))
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    for name in (0..OTHERS).map(|number| format!("name-{number}")).chain(["wanted".to_owned()]) {
        MAP.with_borrow_mut(|map| map.insert(name.clone(), Arc::new(7_u64)));
        get_thread_ctx().namespace("names").insert(&name, 7_u64).expect("the name is free");
    }
    let [ours, theirs] = interleaved(
        plan,
        [
            looped(|| get_thread_ctx().namespace(black_box("names")).get::<u64>(black_box("wanted"))),
            looped(|| look_up(black_box("wanted"))),
        ],
    );
    vec![Row::new(
        "Namespace::get / thread_local! RefCell<HashMap<String, Arc<dyn Any>>>",
        &ours,
        &theirs,
        2.0,
    )]
}
