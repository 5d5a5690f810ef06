//! The API document and its viewer through the real door.

use serde_json::json;

use super::super::document;
use super::{Rig, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_and_its_viewer_need_no_token_and_nothing_from_elsewhere() {
    let rig = Rig::start().await;
    let told = rig.send(rig.request("GET", "/api/openapi.json")).await;
    assert_eq!((told.status, &told.json()), (200, document()));
    assert_eq!(told.json()["openapi"], "3.1.0");

    let page = rig.send(rig.request("GET", "/api/docs/")).await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert!(!page.text.contains("://") && !page.text.contains("<style"), "{}", page.text);
    let mut files = 0;
    for source in page.text.split("=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        if source.starts_with("/api/docs/") {
            let file = rig.send(rig.request("GET", source)).await;
            assert!(file.status == 200 && !file.text.is_empty(), "{source}: {}", file.status);
            files += 1;
        }
    }
    assert_eq!(files, 4);
    for tag in page.text.split("<script").skip(1) {
        assert!(tag.contains("src=") && tag.contains("defer></script>"), "a script in the page: {tag}");
    }
    for missing in ["/api/docs/none.js", "/api/docs/index.html", "/api/docs/..%2Fopenapi.json"] {
        let told = rig.send(rig.request("GET", missing)).await;
        assert_eq!(told.status, 404, "{missing}");
    }
}

#[test]
fn an_answer_that_the_document_does_not_promise_is_told() {
    let check = |path: &str, status, media: &str, body: serde_json::Value| {
        contract::check(document(), "GET", path, status, media, &body.to_string())
    };
    let list = json!({ "items": [], "nextCursor": null });
    assert_eq!(check("/api/v1/storms?state=open", 200, "application/json", list.clone()), Ok(()));
    assert!(check("/api/v1/storms", 201, "application/json", list.clone()).is_err(), "another status");
    assert!(check("/api/v1/storms", 200, "text/html", list.clone()).is_err(), "another media type");
    assert!(check("/api/v1/nothing", 200, "application/json", list).is_err(), "another path");
    let more = json!({ "items": [], "nextCursor": null, "more": 1 });
    assert!(check("/api/v1/storms", 200, "application/json", more).unwrap_err().contains("more"), "a field");
    let less = json!({ "items": [] });
    assert!(check("/api/v1/storms", 200, "application/json", less).unwrap_err().contains("nextCursor"));
    let id = "/api/v1/deliveries/019aa5d1-7c00-7000-8000-000000000001";
    let problem = |code: &str| {
        json!({
            "type": "urn:unhang:problem:not_found", "title": "Not found", "status": 404, "code": code,
            "detail": "there is no delivery", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        })
    };
    assert_eq!(check(id, 404, "application/problem+json", problem("not_found")), Ok(()));
    assert!(check(id, 404, "application/problem+json", problem("too_early")).is_err(), "a code of others");
}
