//! The application. Nobody passes it a user; it asks where it wants to know.

use std::{
    panic,
    sync::{Barrier, LazyLock},
};

use oxhttp::model::{Body, Request, StatusCode};

use crate::{
    middleware::Answer,
    user::{User, get_current_user, impersonate},
};

/// What `/wait` and the main thread meet at: once when somebody waits, once to let him go.
static MEETING: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));

pub(crate) fn wait_until_somebody_waits() {
    MEETING.wait();
}

pub(crate) fn let_go() {
    MEETING.wait();
}

pub(crate) fn serve(request: &Request<Body>) -> Answer {
    let text = match request.uri().path() {
        "/whoami" => return whoami(),
        "/thread" => threadctx::get_thread_ctx().ident().to_string(),
        "/delete" => delete(),
        "/wait" => wait(),
        "/dump" => threadctx::dump().to_string(),
        // `resume_unwind` is a panic without the message that would only confuse here.
        "/panic" => panic::resume_unwind(Box::new("the handler")),
        "/panic-as-admin" => {
            impersonate(User::named("admin"), || panic::resume_unwind(Box::new("the admin")))
        }
        _ => return (StatusCode::NOT_FOUND, "there is no such page".to_owned()),
    };
    (StatusCode::OK, text)
}

fn whoami() -> Answer {
    match get_current_user() {
        Some(user) => (StatusCode::OK, user.name.clone()),
        None => (StatusCode::UNAUTHORIZED, "nobody is signed in".to_owned()),
    }
}

/// What the user may not do himself is done for him by somebody who may.
fn delete() -> String {
    let deleted_by = impersonate(User::named("admin"), archive::delete);
    format!("{deleted_by} for {}", name_of_current_user())
}

fn wait() -> String {
    wait_until_somebody_waits();
    let_go();
    format!("{} waited", name_of_current_user())
}

fn name_of_current_user() -> String {
    get_current_user().map_or_else(|| "nobody".to_owned(), |user| user.name.clone())
}

/// Deep inside, where no request is in sight.
mod archive {
    pub(crate) fn delete() -> String {
        format!("{} deleted it", super::name_of_current_user())
    }
}
