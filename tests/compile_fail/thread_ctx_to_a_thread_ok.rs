fn send<T: Send>(_: T) {}

fn main() {
    send(threadctx::get_thread_ctx().handle());
    send(threadctx::get_thread_ctx().ident());
}
