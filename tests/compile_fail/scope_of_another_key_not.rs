use threadctx::Key;

static NUMBER: Key<u8> = Key::new("compile fail", "number");
static TEXT: Key<String> = Key::new("compile fail", "text");

fn main() {
    let mut scope = NUMBER.enter(1);
    scope = TEXT.enter("1".to_owned());
    drop(scope);
}
