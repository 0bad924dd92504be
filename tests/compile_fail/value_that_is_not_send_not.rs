#[derive(Debug)]
struct Stays(std::sync::MutexGuard<'static, u8>);

fn insert(value: Stays) {
    let probe = threadctx::get_thread_ctx().namespace("compile fail");
    let _ = probe.insert("name", value);
}

fn main() {
    let _ = insert;
}
