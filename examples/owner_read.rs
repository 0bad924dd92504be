//! The owner's read in a function of its own, for a look at what it compiles to. The gate looks too: on x86-64 the
//! optimised function has no `lock` prefix, and no call on the way through it when there is a value.
//!
//! `cargo rustc --release --example owner_read -- --emit asm` writes the assembly to `target/release/examples`.

use threadctx::Key;

static KEY: Key<u64> = Key::new("example", "owner-read");

/// Never inlined, so that the assembly has it by its name.
#[inline(never)]
fn owner_read() -> u64 {
    KEY.with(|value| *value).unwrap_or(0)
}

fn main() {
    assert_eq!(owner_read(), 0, "there is no value yet");
    KEY.set(7);
    println!("the owner reads {}", owner_read());
}
