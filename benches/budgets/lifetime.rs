//! What a thread's context costs from its first touch to the end of its exit, beside the thread itself.

use std::{
    thread,
    time::{Duration, Instant},
};

use threadctx::{Key, exit_thread_ctx};

use crate::{
    row::Row,
    timing::{Plan, Side, interleaved, looped},
};

static KEYS: [Key<u64>; 4] = [
    Key::new("lifetime", "first"),
    Key::new("lifetime", "second"),
    Key::new("lifetime", "third"),
    Key::new("lifetime", "fourth"),
];

fn fill() {
    KEYS.iter().for_each(|key| key.set(7));
}

fn fill_and_exit() -> bool {
    fill();
    exit_thread_ctx()
}

/// In a thread of its own each time, whose memory is as cold as a new thread's is. The exit is run by hand, since the
/// end of a destructor cannot be seen; it is the same code.
fn in_new_threads() -> Side<'static> {
    let timed = || {
        let times = [Instant::now(), Instant::now()];
        fill_and_exit();
        // Less what a look at the clock takes.
        times[1].elapsed().saturating_sub(times[1] - times[0])
    };
    Box::new(move |times| {
        let threads = (0..times).map(|_| thread::spawn(timed).join().expect("it does not panic"));
        threads.sum::<Duration>()
    })
}

pub(crate) fn rows(plan: &Plan) -> Vec<Row> {
    // The threads that come and go disturb the loop themselves.
    let plan = &Plan { batch: plan.batch * 2, patience: 1, ..*plan };
    let [within, warm, with_context, bare] = interleaved(
        plan,
        [
            in_new_threads(),
            looped(fill_and_exit),
            looped(|| thread::spawn(fill).join()),
            looped(|| thread::spawn(|| ()).join()),
        ],
    );
    vec![
        Row::new("register + exit with 4 keys / spawn + join", &warm, &bare, 0.05),
        Row::new("the same once in a new thread, its memory cold / spawn + join", &within, &bare, 0.08),
        Row::shown("spawn + 4 keys + join / spawn + join", &with_context, &bare),
    ]
}
