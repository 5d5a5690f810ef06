//! The viewer of the API document: Swagger UI, as the crate brings it, under a page and a script of our own.
//!
//! Never: loads anything from elsewhere, or runs a script that is written into the page.

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use actix_web::web::Path;

use crate::http::problem::{Code, Problem};

const PAGE: &str = include_str!("viewer.html");
const SCRIPT: &str = include_str!("viewer.js");

/// Swagger UI draws its icons from `data:` URLs; everything else comes from here.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                   base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Files of the crate that the page loads.
#[cfg(feature = "api-ui")]
const LOADED: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// `GET /api/docs`
pub(in super::super) async fn page() -> Result<HttpResponse, Problem> {
    if cfg!(not(feature = "api-ui")) {
        return Err(missing());
    }
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/html; charset=utf-8"))
        .insert_header((CONTENT_SECURITY_POLICY, CSP))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(PAGE))
}

/// `GET /api/docs/{file}`
pub(in super::super) async fn file(name: Path<String>) -> Result<HttpResponse, Problem> {
    let (bytes, media) = if cfg!(feature = "api-ui") && *name == "viewer.js" {
        (SCRIPT.as_bytes().to_vec(), "text/javascript; charset=utf-8".to_owned())
    } else {
        vendored(&name).ok_or_else(missing)?
    };
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, media))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .body(bytes))
}

fn missing() -> Problem {
    let detail = if cfg!(feature = "api-ui") {
        "the viewer has no such file"
    } else {
        "this binary was built without the viewer; the document is at /api/openapi.json"
    };
    Problem::new(Code::NotFound, detail)
}

#[cfg(feature = "api-ui")]
fn vendored(name: &str) -> Option<(Vec<u8>, String)> {
    if !LOADED.contains(&name) {
        return None;
    }
    let config = std::sync::Arc::new(utoipa_swagger_ui::Config::default());
    let file = utoipa_swagger_ui::serve(name, config).ok().flatten()?;
    Some((file.bytes.into_owned(), file.content_type))
}

#[cfg(not(feature = "api-ui"))]
fn vendored(_name: &str) -> Option<(Vec<u8>, String)> {
    None
}
