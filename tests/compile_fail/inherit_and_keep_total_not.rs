use threadctx::Key;

static KEY: Key<u64> = Key::new("compile fail", "key").inherit().keep_total(|one, other| one + other);

fn main() {
    KEY.set(1);
}
