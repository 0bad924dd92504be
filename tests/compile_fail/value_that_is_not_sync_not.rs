use std::cell::Cell;

static KEY: threadctx::Key<Cell<u8>> = threadctx::Key::new("compile fail", "key");

fn main() {
    let _ = &KEY;
}
