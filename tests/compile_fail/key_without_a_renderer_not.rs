struct Plain;

static KEY: threadctx::Key<Plain> = threadctx::Key::new("compile fail", "key").debug();

fn main() {
    KEY.set(Plain);
}
