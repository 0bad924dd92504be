fn send<T: Send>(_: T) {}

fn main() {
    let context = threadctx::get_thread_ctx().handle();
    send(context.namespace("probe"));
}
