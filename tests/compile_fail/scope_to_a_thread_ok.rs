use threadctx::Key;

static KEY: Key<u8> = Key::new("compile fail", "key");

fn send<T: Send>(_: T) {}

fn main() {
    let _scope = KEY.enter(1);
    send(KEY.get());
    send(&KEY);
}
