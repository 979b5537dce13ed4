//! The page that is served with `--reload` when the app cannot be imported at the first start.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use vestibule::{App, Outline, Request, Response};
use vestibule_core::{Body, Failure, IntoResponse, Peer};

use crate::WsgiApp;
use crate::call::error_page;

/// The app of a worker.
#[derive(Clone)]
pub(crate) enum LoadedApp {
    Wsgi(WsgiApp),
    /// Why it could not be loaded.
    Failed(String),
}

impl App for LoadedApp {
    async fn call(&self, request: Request) -> Response {
        match self {
            Self::Wsgi(app) => app.call(request).await,
            Self::Failed(why) => failure(why, Peer::is_local(&request)),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        match self {
            Self::Wsgi(app) => app.describe(outline),
            Self::Failed(_) => {
                outline.rename("WsgiApp");
            }
        }
    }
}

/// A 500; the reason is for the developer of the app, who is at this machine.
fn failure(why: &str, is_developer: bool) -> Response {
    let mut response = Failure::new("the app cannot be loaded")
        .layer("WsgiApp")
        .into_response();
    if is_developer {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, html);
        let hint = "This page is shown on this machine only, because of <code>--reload</code>. \
                    The app is tried again when a file has changed.";
        *response.body_mut() = Body::from(error_page("The app cannot be loaded", why, hint));
    }
    response
}
