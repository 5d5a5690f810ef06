//! Every page with every role, and what a session, a form and a browser of elsewhere may do.

use super::super::routes::{ROUTES, Route};
use super::{Rig, Told, token};
use crate::config::Role;

const ROLES: [Role; 4] = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin];

/// A browser of one person: its cookie and the token of its forms.
pub(super) struct Browser<'r> {
    rig: &'r Rig,
    pub(super) cookie: String,
    form: String,
}

fn origin(rig: &Rig) -> String {
    format!("http://127.0.0.1:{}", rig.app.addr().port())
}

/// The value of the cookie that an answer sets.
fn cookie_of(told: &Told) -> String {
    told.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// The token of the forms on a page.
fn form_of(page: &Told) -> String {
    let at = page.text.split("name=\"form\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {page:?}"));
    at.split('"').next().unwrap().to_owned()
}

impl<'r> Browser<'r> {
    pub(super) async fn log_in(rig: &'r Rig, role: &str) -> Browser<'r> {
        let told = log_in(rig, &token(role), &origin(rig)).await;
        assert_eq!((told.status, told.header("location")), (303, "/"), "{told:?}");
        let cookie = cookie_of(&told);
        assert!(cookie.starts_with("unhang_session="), "{cookie}");
        let mut browser = Browser { rig, cookie, form: String::new() };
        browser.form = form_of(&browser.get("/").await);
        browser
    }

    pub(super) async fn get(&self, path: &str) -> Told {
        self.rig.send(self.rig.request("get", path).header("cookie", &self.cookie)).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Told {
        let mut all = vec![("form", self.form.as_str())];
        all.extend_from_slice(fields);
        let request = self.rig.request("post", path).header("cookie", &self.cookie);
        self.rig.send(request.header("origin", origin(self.rig)).form(&all)).await
    }
}

async fn log_in(rig: &Rig, typed: &str, origin: &str) -> Told {
    let request = rig.request("post", "/login").header("origin", origin);
    rig.send(request.form(&[("token", typed), ("next", "/")])).await
}

fn pages() -> impl Iterator<Item = (&'static Route, String)> {
    let is_page = |route: &&Route| !route.path.starts_with("/api/") && route.role.is_some();
    ROUTES.iter().filter(is_page).map(|route| {
        let id = if route.path.contains("silences")
            || route.path.contains("storms")
            || route.path.contains("holds")
        {
            "4711"
        } else {
            "00000000-0000-7000-8000-000000000000"
        };
        (
            route,
            route
                .path
                .replace("{id}", id)
                .replace("{no}", "90000001")
                .replace("{name}", "hung-windows")
                .replace("{policy}", "hung-windows"),
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_admits_exactly_its_role_and_those_above() {
    let rig = Rig::start().await;
    for role in ROLES {
        let browser = Browser::log_in(&rig, role.as_str()).await;
        for (route, path) in pages().filter(|(route, _)| route.path != "/logout") {
            let what = format!("{} {path} as {role:?}", route.method);
            let needed = route.role.unwrap();
            let told = match route.method {
                "get" => browser.get(&path).await,
                _ => browser.post(&path, &[]).await,
            };
            assert!(
                told.header("content-security-policy").contains("default-src 'none'") || told.status == 303,
                "{what}"
            );
            if role < needed {
                assert_eq!(told.status, 403, "{what}: {told:?}");
                assert!(
                    told.text.contains("role_too_low") || told.text.contains(needed.as_str()),
                    "{what}: {told:?}"
                );
            } else {
                // Some orders want the token typed again; nobody typed one here.
                let untyped = told.status == 401 && told.text.contains("this is not your token");
                assert!(untyped || ![401, 403, 500].contains(&told.status), "{what}: {told:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_not_logged_in_is_led_to_the_log_in_and_changes_nothing() {
    let rig = Rig::start().await;
    for (route, path) in pages() {
        let what = format!("{} {path}", route.method);
        if route.method == "get" {
            let told = rig.send(rig.request("get", &path)).await;
            assert_eq!(told.status, 303, "{what}: {told:?}");
            assert!(told.header("location").starts_with("/login?next="), "{what}: {told:?}");
            // A link from elsewhere: the strict cookie stays at home, and the browser is asked to come again from here.
            let told = rig.send(rig.request("get", &path).header("sec-fetch-site", "cross-site")).await;
            assert_eq!(told.status, 200, "{what}");
            assert!(
                told.text.contains("http-equiv=\"refresh\"") && !told.text.contains("name=\"form\""),
                "{what}"
            );
        } else {
            let request = rig.request("post", &path).header("origin", origin(&rig));
            let told = rig.send(request.form(&[("form", "x"), ("reason", "x")])).await;
            assert_eq!(told.status, 401, "{what}: {told:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_of_elsewhere_or_of_another_session_changes_nothing() {
    let rig = Rig::start().await;
    let browser = Browser::log_in(&rig, "admin").await;
    let other = Browser::log_in(&rig, "admin").await;
    let fields = [("scope", "global"), ("reason", "a try")];
    let send = |form: &str, headers: &[(&str, &str)]| {
        let mut all = vec![("form", form)];
        all.extend_from_slice(&fields);
        let mut request = rig.request("post", "/holds").header("cookie", &browser.cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        rig.send(request.form(&all))
    };
    let here = origin(&rig);
    for (form, headers) in [
        (browser.form.as_str(), &[][..]),
        (&browser.form, &[("origin", "https://evil.example")]),
        (&browser.form, &[("origin", "null")]),
        (&browser.form, &[("origin", here.as_str()), ("sec-fetch-site", "cross-site")]),
        (&browser.form, &[("origin", here.as_str()), ("sec-fetch-site", "same-site")]),
        (&other.form, &[("origin", here.as_str())]),
        ("", &[("origin", here.as_str())]),
    ] {
        let told = send(form, headers).await;
        assert_eq!(told.status, 403, "{headers:?}: {told:?}");
    }
    assert!(rig.get("/api/v1/holds").await.json()["items"].as_array().unwrap().is_empty());
    let told = send(&browser.form, &[("origin", here.as_str()), ("sec-fetch-site", "same-origin")]).await;
    assert_eq!((told.status, told.header("location")), (303, "/holds?done=hold-set"), "{told:?}");
    assert_eq!(rig.get("/api/v1/holds").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_reads_the_api_and_changes_nothing_there_without_its_form_token() {
    let rig = Rig::start().await;
    let browser = Browser::log_in(&rig, "admin").await;
    assert_eq!(browser.get("/api/v1/audit?limit=1").await.status, 200);
    let body = serde_json::json!({ "scope": "global", "reason": "a try" });
    let post = || rig.request("post", "/api/v1/holds").header("cookie", &browser.cookie).json(&body);
    let here = origin(&rig);
    for request in [
        post(),
        post().header("origin", &here),
        post().header("x-unhang-form", &browser.form),
        post().header("x-unhang-form", &browser.form).header("origin", "https://evil.example"),
    ] {
        let told = rig.send(request).await;
        assert_eq!((told.status, told.code().as_str()), (403, "foreign_origin"), "{told:?}");
    }
    let told = rig.send(post().header("x-unhang-form", &browser.form).header("origin", &here)).await;
    assert_eq!(told.status, 201, "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_gives_a_fresh_cookie_and_a_log_out_ends_it() {
    let rig = Rig::start().await;
    let browser = Browser::log_in(&rig, "viewer").await;
    // A cookie that somebody put there beforehand does not become a session.
    let fixed =
        rig.request("post", "/login").header("origin", origin(&rig)).header("cookie", "unhang_session=fixed");
    let told = rig.send(fixed.form(&[("token", token("viewer").as_str())])).await;
    assert_ne!(cookie_of(&told), "unhang_session=fixed");
    // Logging in again ends the session before.
    let again =
        rig.request("post", "/login").header("origin", origin(&rig)).header("cookie", &browser.cookie);
    let told = rig.send(again.form(&[("token", token("viewer").as_str())])).await;
    let fresh = Browser { rig: &rig, cookie: cookie_of(&told), form: String::new() };
    assert_eq!(browser.get("/").await.status, 303);
    let page = fresh.get("/").await;
    assert_eq!(page.status, 200);
    let fresh = Browser { form: form_of(&page), ..fresh };
    let told = fresh.post("/logout", &[]).await;
    assert_eq!((told.status, told.header("location")), (303, "/login"));
    assert!(told.header("set-cookie").contains("Max-Age=0"), "{told:?}");
    assert_eq!(fresh.get("/").await.status, 303, "the old cookie is worth nothing");
    assert_eq!(fresh.get("/api/v1/audit").await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_logs_in_over_a_line_that_others_can_read() {
    let rig = Rig::start_with("127.0.0.1:0", "trusted_proxies = [\"127.0.0.1\"]").await;
    let told = log_in(&rig, &token("admin"), &origin(&rig)).await;
    assert_eq!(told.status, 403, "{told:?}");
    assert!(told.text.contains("plain_line") || told.text.contains("X-Forwarded-Proto"), "{told:?}");
    assert!(told.headers.get("set-cookie").is_none());
    // Through the trusted proxy with TLS: a cookie that never leaves TLS and this host.
    let through = |cookie: &str| {
        let request = rig.request("post", "/login").header("origin", origin(&rig));
        let request = request.header("x-forwarded-proto", "https").header("cookie", cookie.to_owned());
        rig.send(request.form(&[("token", token("admin").as_str())]))
    };
    let told = through("a=b").await;
    assert_eq!(told.status, 303, "{told:?}");
    let cookie = cookie_of(&told);
    assert!(cookie.starts_with("__Host-unhang_session="), "{cookie}");
    assert!(told.header("set-cookie").contains("Secure"), "{told:?}");
    let get = |proto: &str| {
        rig.send(
            rig.request("get", "/").header("cookie", &cookie).header("x-forwarded-proto", proto.to_owned()),
        )
    };
    assert_eq!(get("https").await.status, 200);
    assert_eq!(get("http").await.status, 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_configured_proxy_names_a_person() {
    let from =
        |net: &str| format!("[dashboard]\nproxy_login = {{ header = \"X-User\", from = [\"{net}\"] }}\n");
    let rig = Rig::start_with("127.0.0.1:0", &from("127.0.0.1")).await;
    let ask = |rig: &Rig, names: &[&str]| {
        let request =
            names.iter().fold(rig.request("get", "/"), |request, name| request.header("x-user", *name));
        let sent = request.send();
        async { sent.await.unwrap().status().as_u16() }
    };
    assert_eq!(ask(&rig, &["the-viewer"]).await, 200);
    assert_eq!(ask(&rig, &["nobody-we-know"]).await, 303);
    assert_eq!(ask(&rig, &["the-viewer", "the-admin"]).await, 303, "two names are none");
    // What it is worth is what the configuration says.
    let request = rig.request("post", "/holds").header("x-user", "the-viewer").header("origin", origin(&rig));
    let told = rig.send(request.form(&[("form", "x"), ("scope", "global"), ("reason", "x")])).await;
    assert_eq!(told.status, 403, "{told:?}");

    let elsewhere = Rig::start_with("127.0.0.1:0", &from("192.0.2.7")).await;
    assert_eq!(ask(&elsewhere, &["the-admin"]).await, 303, "anybody could have written that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_at_the_log_in_are_slowed_down() {
    let rig = Rig::start().await;
    let mut told = log_in(&rig, "wrong", &origin(&rig)).await;
    assert_eq!(told.status, 401);
    for _ in 0..30 {
        told = log_in(&rig, "wrong", &origin(&rig)).await;
    }
    assert_eq!(told.status, 429, "{told:?}");
    let told = log_in(&rig, &token("viewer"), &origin(&rig)).await;
    assert_eq!(told.status, 303, "a good token is still taken");
    let told = log_in(&rig, &token("viewer"), "https://evil.example").await;
    assert_eq!(told.status, 403, "nobody is logged in by a page of elsewhere");
}
