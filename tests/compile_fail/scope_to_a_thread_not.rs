use threadctx::Key;

static KEY: Key<u8> = Key::new("compile fail", "key");

fn send<T: Send>(_: T) {}

fn main() {
    let scope = KEY.enter(1);
    send(scope);
}
