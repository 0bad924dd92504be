fn main() {
    let probe = threadctx::get_thread_ctx().namespace("compile fail");
    let _ = probe.insert("name", "text");
}
