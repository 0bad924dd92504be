use threadctx::Key;

static TRAVELS: Key<u64> = Key::new("compile fail", "travels").inherit();
static KEEPS: Key<u64> = Key::new("compile fail", "keeps").keep_total(|one, other| one + other);

fn main() {
    TRAVELS.set(1);
    KEEPS.set(1);
}
