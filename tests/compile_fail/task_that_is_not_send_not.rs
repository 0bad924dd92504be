use threadctx::FutureExt;

fn send<T: Send>(_: T) {}

fn main() {
    let value = std::rc::Rc::new(1);
    let task = async move {
        std::future::ready(()).await;
        drop(value);
    };
    send(task.in_context());
}
