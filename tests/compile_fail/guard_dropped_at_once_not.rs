#![deny(unused_must_use)]

use threadctx::Key;

static KEY: Key<u8> = Key::new("compile fail", "key");

fn main() {
    KEY.enter(1);
    threadctx::on_thread_start(|_| ());
    threadctx::DumpOptions::new();
}
