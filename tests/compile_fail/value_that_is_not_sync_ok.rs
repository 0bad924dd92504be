use std::{cell::Cell, sync::Mutex};

static KEY: threadctx::Key<Mutex<Cell<u8>>> = threadctx::Key::new("compile fail", "key");

fn main() {
    KEY.set(Mutex::new(Cell::new(1)));
}
