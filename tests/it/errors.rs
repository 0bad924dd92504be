//! Errors and traits: what the contract says of the types themselves. (What must not compile is in `tests/compile_fail`.)

use std::{
    error::Error,
    fmt::{Debug, Display},
    hash::Hash,
};

use serde::Serialize;
use threadctx::{
    AccessError, ContextRef, Dump, DumpOptions, HookGuard, Ident, Key, Namespace, NamespaceRef, Refused,
    Scope, State, Stats, TaskId, ThreadCtx, TypeMismatch, get_thread_ctx, try_get_thread_ctx,
};

use crate::support::last::after_the_exit;

/// Has nothing but what a value needs.
struct Plain;

const fn everywhere<T: Send + Sync + 'static>() {}
const fn debug<T: Debug>() {}
const fn error<T: Error + Display + Debug + Send + Sync + 'static>() {}
const fn value<T: Copy + Eq + Hash + Debug>() {}

/// Fails to compile if a type lacks what was promised of it.
const _: () = {
    value::<Ident>();
    value::<TaskId>();
    value::<State>();
    const fn displayed<T: Display>() {}
    displayed::<Ident>();
    displayed::<TaskId>();
    displayed::<Dump>();
    everywhere::<Ident>();
    everywhere::<ContextRef>();
    debug::<ContextRef>();
    const fn cloned<T: Clone>() {}
    cloned::<ContextRef>();
    cloned::<Dump>();
    cloned::<DumpOptions>();
    everywhere::<Key<Plain>>();
    debug::<Key<Plain>>();
    everywhere::<HookGuard>();
    debug::<HookGuard>();
    everywhere::<Dump>();
    debug::<Dump>();
    const fn serialized<T: Serialize>() {}
    serialized::<Dump>();
    everywhere::<DumpOptions>();
    everywhere::<Stats>();
    debug::<Stats>();
    const fn copied<T: Copy>() {}
    copied::<ThreadCtx>();
    copied::<Namespace<'static>>();
    copied::<Stats>();
    debug::<ThreadCtx>();
    debug::<Namespace<'static>>();
    debug::<NamespaceRef<'static>>();
    debug::<Scope<Plain>>();
    error::<AccessError>();
    error::<TypeMismatch>();
    // Also where the value has no `Debug`: an error must be of use in a `Box<dyn Error>` whatever it hands back.
    error::<Refused<Plain>>();
};

#[test]
fn a_refused_value_of_any_type_is_an_error_to_pass_on() {
    fn store() -> Result<(), Box<dyn Error + Send + Sync>> {
        let namespace = get_thread_ctx().namespace("errors");
        namespace.insert_opaque("name", 1)?;
        namespace.insert_opaque("name", Plain)?;
        Ok(())
    }
    let error = store().unwrap_err();
    assert!(error.is::<Refused<Plain>>());
    assert!(error.to_string().contains("Plain"));
}

#[test]
fn a_refused_value_is_not_in_the_errors_own_text() {
    let namespace = get_thread_ctx().namespace("errors");
    namespace.insert("kept from logs", 1).unwrap();
    let refused = namespace.insert("kept from logs", "a secret".to_owned()).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("a secret"));
    assert_eq!(refused.into_value(), "a secret");
}

#[test]
fn an_error_says_everything_by_itself_and_has_no_source_that_would_say_it_again() {
    static KEY: Key<Plain> = Key::new("errors", "sources");
    let namespace = get_thread_ctx().namespace("errors");
    namespace.insert_opaque("sources", 1_u8).unwrap();
    let mismatch = namespace.get::<String>("sources").unwrap_err();
    let by_name = namespace.insert_opaque("sources", Plain).map(drop).unwrap_err();
    let by_key = KEY.try_set(Plain).unwrap_err();
    let (send, late) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        after_the_exit(move || {
            let refused = KEY.try_set(Plain).unwrap_err();
            send.send((refused, try_get_thread_ctx().unwrap_err())).unwrap();
        });
    });
    let (late, gone) = late.recv().unwrap();
    let errors: [&(dyn Error + 'static); 5] = [&mismatch, &by_name, &by_key, &late, &gone];
    for error in errors {
        // None has a source, and each says everything.
        assert!(error.source().is_none(), "{error}");
    }
    for (refused, reason) in [(by_name, "errors.rs"), (by_key, "errors.rs"), (late, &*gone.to_string())] {
        let text = refused.to_string();
        assert!(text.starts_with("the value was not stored: ") && text.contains(reason), "{text}");
        assert_eq!(text.matches(" was not stored").count(), 1);
    }
}

#[test]
fn a_mismatch_names_the_types_the_name_and_where_each_use_is() {
    let namespace = get_thread_ctx().namespace("errors");
    namespace.insert("mismatch", 1_u8).unwrap();
    let first = format!("{}:{}", file!(), line!() - 1);
    let error = namespace.get::<String>("mismatch").unwrap_err();
    let second = format!("{}:{}", file!(), line!() - 1);
    assert_eq!((error.namespace(), error.name()), ("errors", "mismatch"));
    let message = error.to_string();
    for part in ["errors", "mismatch", "`u8`", "`alloc::string::String`", &first, &second] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let made = namespace.get_or_insert_with("mismatch", String::new).unwrap_err().to_string();
    assert!(made.contains(&first), "{made}");
    let view = get_thread_ctx().handle();
    let third = view.namespace("errors").get::<i8>("mismatch").unwrap_err().to_string();
    assert!(third.contains(&first) && third.contains(&format!("{}:{}", file!(), line!() - 1)), "{third}");
}

#[test]
fn what_a_name_holds_in_a_message_cannot_break_a_line() {
    let namespace = get_thread_ctx().namespace("errors\n\u{1b}[31m");
    namespace.insert("a\r\nb", 1_u8).unwrap();
    let error = namespace.get::<u16>("a\r\nb").unwrap_err().to_string();
    assert!(!error.contains(char::is_control), "{error}");
}

#[test]
fn a_key_prints_what_it_is_and_never_its_value() {
    static KEY: Key<String> = Key::new("errors", "printed");
    KEY.set("a value".to_owned());
    let shown = format!("{KEY:?}");
    assert!(shown.contains("errors") && shown.contains("printed") && shown.contains("String"), "{shown}");
    let scope = KEY.enter("another value".to_owned());
    assert!(!format!("{KEY:?} {scope:?}").contains("value"));
}
