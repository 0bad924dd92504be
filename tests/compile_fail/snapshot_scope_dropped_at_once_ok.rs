#![deny(unused_must_use)]

use threadctx::Snapshot;

fn main() {
    let _scope = Snapshot::capture().enter();
}
