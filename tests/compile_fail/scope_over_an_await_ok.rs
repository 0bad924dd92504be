use threadctx::{FutureExt, Key};

static KEY: Key<u8> = Key::new("compile fail", "key");

fn send<T: Send>(_: T) {}

fn main() {
    let task = async {
        drop(KEY.enter(1));
        std::future::ready(()).await;
    };
    send(task.in_context());
}
