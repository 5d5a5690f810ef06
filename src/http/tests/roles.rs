//! Every route with every role, from the table that registers the routes.

use super::super::routes::ROUTES;
use super::{BEARER, Rig, token};
use crate::config::Role;

const ROLES: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_admits_exactly_its_role_and_those_above() {
    let rig = Rig::start_with("127.0.0.1:0", "").await;
    for route in ROUTES {
        let path =
            route.path.replace("{id}", "00000000-0000-7000-8000-000000000000").replace("{source}", "am");
        let what = format!("{} {path}", route.method);
        if !path.starts_with("/api/") && route.role.is_some() {
            // A page: see `pages`.
            continue;
        }
        // No body: whoever is admitted is refused for something else.
        let nobody = rig.send(rig.request(route.method, &path)).await;
        let Some(needed) = route.role else {
            assert!(nobody.status != 403 || path == "/login" || path == "/preferences", "{what}: {nobody:?}");
            continue;
        };
        assert_eq!((nobody.status, nobody.code().as_str()), (401, "unauthenticated"), "{what}");
        assert!(nobody.header("www-authenticate").starts_with("Bearer"), "{what}");
        for role in ROLES {
            let told = rig.send(rig.request(route.method, &path).bearer_auth(token(role.as_str()))).await;
            if role < needed {
                assert_eq!((told.status, told.code().as_str()), (403, "role_too_low"), "{what} as {role:?}");
                assert!(told.json()["detail"].as_str().unwrap().contains(needed.as_str()), "{what}");
            } else {
                assert!(![401, 403, 429].contains(&told.status), "{what} as {role:?}: {told:?}");
            }
        }
        if route.method != "get" {
            let request = rig.request(route.method, &path).bearer_auth(token("admin"));
            let told = rig.send(request.header("origin", "https://evil.example")).await;
            assert_eq!((told.status, told.code().as_str()), (403, "foreign_origin"), "{what}");
        }
        if route.method == "post" && !route.path.ends_with("explain") {
            let request = rig.request(route.method, &path).bearer_auth(token("admin"));
            let told = rig.send(request.header("content-type", "text/plain").body("{}")).await;
            assert_eq!((told.status, told.code().as_str()), (415, "content_type"), "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_are_refused_and_then_slowed_down() {
    let rig = Rig::start().await;
    let wrong = || rig.send(rig.request("GET", "/api/v1/audit").bearer_auth(BEARER));
    assert_eq!(wrong().await.code(), "unauthenticated", "a source's secret is no person's token");
    let mut told = wrong().await;
    for _ in 0..30 {
        told = wrong().await;
    }
    assert_eq!((told.status, told.code().as_str()), (429, "too_many_attempts"));
    assert_eq!(rig.get("/api/v1/audit").await.status, 200, "a good token is still taken");
}
