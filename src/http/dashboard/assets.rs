//! The style and the script of the pages, inside the binary.
//!
//! Never: fetched from anywhere else.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../../../assets/style.css");
const SCRIPT: &str = include_str!("../../../assets/unhang.js");
const ICON: &str = include_str!("../../../assets/icon.svg");

/// Changes when an asset changes, so that browsers may keep them for long.
pub(super) static EDITION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    for text in [STYLE, SCRIPT, ICON] {
        hasher.update(text.as_bytes());
    }
    hex::encode(hasher.finalize()).chars().take(12).collect()
});

fn asset(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .body(text)
}

/// `GET /assets/style.css`
pub(in super::super) async fn style() -> HttpResponse {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /assets/unhang.js`
pub(in super::super) async fn script() -> HttpResponse {
    asset("text/javascript; charset=utf-8", SCRIPT)
}

/// `GET /assets/icon.svg`
pub(in super::super) async fn icon() -> HttpResponse {
    asset("image/svg+xml", ICON)
}
