use threadctx::Key;

static NUMBER: Key<u8> = Key::new("compile fail", "number");

fn main() {
    let mut scope = NUMBER.enter(1);
    drop(scope);
    scope = NUMBER.enter(2);
    drop(scope);
    assert_eq!(NUMBER.get(), None);
}
