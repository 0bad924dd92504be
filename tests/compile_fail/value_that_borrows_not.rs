fn main() {
    let text = String::from("text");
    let probe = threadctx::get_thread_ctx().namespace("compile fail");
    let _ = probe.insert("name", text.as_str());
}
