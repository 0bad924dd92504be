#![deny(unused_must_use)]

use threadctx::Key;

static KEY: Key<u8> = Key::new("compile fail", "key");

fn main() {
    let _scope = KEY.enter(1);
    let _hook = threadctx::on_thread_start(|_| ());
    threadctx::on_thread_exit(|_| ()).forever();
    let _dump = threadctx::DumpOptions::new().take();
}
