//! The hot operations, each in a loop of its own: for counting their instructions, and for timing them in an executable and
//! in a shared library.

use std::{
    cell::{Cell, RefCell},
    hint::black_box,
};

use thread_local::ThreadLocal;
use threadctx::{Key, context, exit_thread_ctx, get_thread_ctx};

static OPAQUE: Key<u64> = Key::new("operations", "opaque");
static VISIBLE: Key<u64> = Key::new("operations", "visible").debug();
static SHARED: Key<u64> = Key::new("operations", "shared");
static FEW: [Key<u64>; 4] = [
    Key::new("operations", "first"),
    Key::new("operations", "second"),
    Key::new("operations", "third"),
    Key::new("operations", "fourth"),
];

static PER_THREAD: ThreadLocal<Cell<u64>> = ThreadLocal::new();

thread_local! {
    static CELL: RefCell<u64> = const { RefCell::new(7) };
}

/// Something to do again and again.
pub(crate) struct Operation {
    #[allow(dead_code, reason = "the shared library goes by numbers")]
    pub(crate) name: &'static str,
    /// Does it so many times.
    pub(crate) run: fn(u32),
}

/// Each operation stands in a function of its own: within the loop a compiler may work out once what a user's code works
/// out each time, the address of a thread-local above all.
macro_rules! operations {
    ($($name:literal: $operation:expr;)*) => {
        /// The first one does nothing: what it costs is the loop's and the call's.
        pub(crate) const ALL: &[Operation] = &[$(Operation {
            name: $name,
            run: |times| {
                #[inline(never)]
                fn once() {
                    let _ = black_box($operation);
                }
                (0..times).for_each(|_| once());
            },
        },)*];
    };
}

operations! {
    "nothing": 0_u64;
    "with": OPAQUE.with(|value| *value);
    "get": SHARED.get();
    "get_or_init, present": SHARED.get_or_init(|| 7);
    "set, opaque": OPAQUE.set(black_box(7));
    "set, visible": VISIBLE.set(black_box(7));
    "set, after a get": { let kept = SHARED.get(); SHARED.set(black_box(7)); kept };
    "update": OPAQUE.update(|value| *value += 1);
    "enter + leave": drop(OPAQUE.enter(black_box(7)));
    "Namespace::get": get_thread_ctx().namespace(black_box("operations")).get::<u64>(black_box("named"));
    "Namespace::insert": get_thread_ctx().namespace(black_box("operations")).insert(black_box("named"), 7_u64);
    "context + get_in": context(get_thread_ctx().ident()).and_then(|owner| OPAQUE.get_in(&owner));
    "peer: RefCell borrow": CELL.with_borrow(|value| *value);
    "peer: RefCell set": CELL.set(black_box(7));
    "peer: thread_local get_or": PER_THREAD.get_or_default().get();
    "register + 4 keys + exit": { FEW.iter().for_each(|key| key.set(7)); exit_thread_ctx() };
}

/// What the operations find.
pub(crate) fn prepare() {
    for key in [&OPAQUE, &VISIBLE, &SHARED] {
        key.set(7);
    }
    get_thread_ctx().namespace("operations").insert("named", 7_u64).expect("it has this type");
    // As in budgets/owner.rs: the loop is not to keep it in registers.
    CELL.with(|cell| drop(black_box(cell).borrow()));
}
