fn share<T: Sync>(_: T) {}

fn main() {
    share(threadctx::get_thread_ctx());
}
