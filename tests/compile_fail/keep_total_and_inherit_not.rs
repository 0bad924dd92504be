use threadctx::Key;

static KEY: Key<u64> = Key::new("compile fail", "key").keep_total(|one, other| one + other).inherit();

fn main() {
    KEY.set(1);
}
