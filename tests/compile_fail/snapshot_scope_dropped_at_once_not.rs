#![deny(unused_must_use)]

use threadctx::Snapshot;

fn main() {
    Snapshot::capture().enter();
}
