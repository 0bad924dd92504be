#[derive(Debug)]
struct Travels(std::sync::Mutex<u8>);

fn insert(value: Travels) {
    let probe = threadctx::get_thread_ctx().namespace("compile fail");
    let _ = probe.insert("name", value);
}

fn main() {
    insert(Travels(0.into()));
}
