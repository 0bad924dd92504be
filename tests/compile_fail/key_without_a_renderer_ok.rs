struct Plain;

static KEY: threadctx::Key<Plain> = threadctx::Key::new("compile fail", "key").secret();

fn main() {
    KEY.set(Plain);
}
