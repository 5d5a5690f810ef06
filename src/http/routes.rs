//! Routes: every path, its methods, and the least role of each, in one table that also registers them.
//!
//! Never: a route beside the table. The test of roles runs over it.

use actix_web::middleware::{Compress, Condition};
use actix_web::web;

use super::openapi::{self, viewer};
use super::{api, dashboard, health, stream, webhooks};
use crate::config::Role;

/// One method of one path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    /// Method.
    pub(super) method: &'static str,
    /// Path with its placeholders.
    pub(super) path: &'static str,
    /// Least role; `None`: no token is asked for.
    pub(super) role: Option<Role>,
}

/// What an address serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// Every route.
    Everything,
    /// Every route but the figures, which have an address of their own.
    Work,
    /// Health and figures, and nothing else.
    Operations,
}

impl Serves {
    fn has(self, path: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Work => path != "/metrics",
            Self::Operations => ["/livez", "/readyz", "/metrics"].contains(&path),
        }
    }
}

macro_rules! routes {
    ($($path:literal { $($method:ident $role:expr => $handler:path),+ })+) => {
        /// Every route.
                pub(super) const ROUTES: &[Route] = &[
            $($(Route { method: stringify!($method), path: $path, role: $role },)+)+
        ];

        /// Registers the routes of an address; a method that a path does not list is answered 405.
        pub(super) fn register(app: &mut web::ServiceConfig, serves: Serves) {
            $(if serves.has($path) {
                app.service(
                    web::resource($path)
                        .wrap(Condition::new(is_compressed($path), Compress::default()))
                        $(.route(web::$method().to($handler)))+,
                );
            })+
        }
    };
}

/// Pages, what they are made of, and what the API answers are compressed for whoever asks for it. Senders get their few
/// bytes as they are, and the event stream must not be gathered.
///
/// A compressed page tells by its length how much of what a stranger put into it is in the rest of it as well. So no page
/// holds a secret that stays the same: form tokens are masked anew for each answer, cookies and tokens are on no page; and
/// no page of elsewhere can make a browser ask for one of ours with its cookie, which is `SameSite=Strict`.
fn is_compressed(path: &str) -> bool {
    let plain = ["/webhooks/", "/livez", "/readyz", "/metrics", "/api/v1/stream"];
    !plain.iter().any(|start| path.starts_with(start))
}

const ANYONE: Option<Role> = None;
const VIEWER: Option<Role> = Some(Role::Viewer);
const OPERATOR: Option<Role> = Some(Role::Operator);
const APPROVER: Option<Role> = Some(Role::Approver);

routes! {
    "/webhooks/{source}" { post ANYONE => webhooks::take }
    "/livez" { get ANYONE => health::livez, head ANYONE => health::livez }
    "/readyz" { get ANYONE => health::readyz, head ANYONE => health::readyz }
    "/metrics" { get ANYONE => health::metrics }
    "/assets/style.css" { get ANYONE => dashboard::assets::style }
    "/assets/unhang.js" { get ANYONE => dashboard::assets::script }
    "/assets/icon.svg" { get ANYONE => dashboard::assets::icon }
    "/login" { get ANYONE => dashboard::login::page, post ANYONE => dashboard::login::log_in }
    "/preferences" { post ANYONE => dashboard::login::prefer }
    "/api/openapi.json" { get ANYONE => openapi::show }
    "/api/docs" { get ANYONE => viewer::page }
    "/api/docs/{file}" { get ANYONE => viewer::file }
    "/api/v1/audit" { get VIEWER => api::audit::list }
    "/api/v1/stream" { get VIEWER => stream::follow }
    "/api/v1/deliveries" { get VIEWER => api::deliveries::list }
    "/api/v1/deliveries/{id}" { get VIEWER => api::deliveries::one }
    "/api/v1/deliveries/{id}/replay" { post OPERATOR => api::deliveries::replay }
    "/api/v1/incidents" { get VIEWER => api::incidents::list }
    "/api/v1/incidents/{id}" { get VIEWER => api::incidents::one }
    "/api/v1/remediations" { get VIEWER => api::remediations::list, post OPERATOR => api::remediations::order }
    "/api/v1/remediations/{id}" { get VIEWER => api::remediations::one }
    "/api/v1/remediations/{id}/approve" { post APPROVER => api::remediations::approve }
    "/api/v1/remediations/{id}/deny" { post APPROVER => api::remediations::deny }
    "/api/v1/remediations/{id}/cancel" { post OPERATOR => api::remediations::cancel }
    "/api/v1/remediations/{id}/settle" { post APPROVER => api::remediations::settle }
    "/api/v1/explain" { get VIEWER => api::explain::why, post VIEWER => api::explain::payload }
    "/api/v1/holds" { get VIEWER => api::mutes::holds, post OPERATOR => api::mutes::set_hold }
    "/api/v1/holds/{id}" { delete OPERATOR => api::mutes::clear_hold }
    "/api/v1/silences" { get VIEWER => api::mutes::silences, post OPERATOR => api::mutes::set_silence }
    "/api/v1/silences/{id}" { delete OPERATOR => api::mutes::end_silence }
    "/api/v1/notifications" { get VIEWER => api::notifications::list }
    "/api/v1/budgets" { get VIEWER => api::overview::budgets }
    "/api/v1/backtest" { get VIEWER => api::backtest::show }
    "/api/v1/policies" { get VIEWER => api::overview::policies }
    "/api/v1/servers" { get VIEWER => api::overview::servers }
    "/api/v1/sources" { get VIEWER => api::overview::sources }
    "/api/v1/storms" { get VIEWER => api::guards::storms }
    "/api/v1/storms/{id}/clear" { post APPROVER => api::guards::clear_storm }
    "/api/v1/breakers" { get VIEWER => api::guards::breakers }
    "/api/v1/breakers/{policy}/reset" { post APPROVER => api::guards::reset_breaker }
    "/api/v1/policies/{name}/promote" { post APPROVER => api::guards::promote_policy }
    "/api/v1/policies/{name}/demote" { post OPERATOR => api::guards::demote_policy }
    "/api/v1/quarantine" { get VIEWER => api::quarantine::show }
    "/api/v1/quarantine/clear" { post APPROVER => api::quarantine::clear }
    "/api/v1/servers/{no}/dump-collected" { post OPERATOR => api::guest::dump_collected }
    "/api/v1/servers/{no}/attestations" { post ANYONE => api::guest::attestations }
    // Pages: whoever is not logged in is led to the log-in.
    "/" { get VIEWER => dashboard::now::show }
    "/logout" { post VIEWER => dashboard::login::log_out }
    "/incidents" { get VIEWER => dashboard::incidents::list }
    "/incidents/{id}" { get VIEWER => dashboard::incidents::one }
    "/remediations/{id}" { get VIEWER => dashboard::remediations::show }
    "/remediations/{id}/approve" { post APPROVER => dashboard::remediations::approve }
    "/remediations/{id}/deny" { post APPROVER => dashboard::remediations::deny }
    "/remediations/{id}/cancel" { post OPERATOR => dashboard::remediations::cancel }
    "/remediations/{id}/settle" { post APPROVER => dashboard::remediations::settle }
    "/deliveries" { get VIEWER => dashboard::deliveries::list }
    "/deliveries/{id}" { get VIEWER => dashboard::deliveries::one }
    "/deliveries/{id}/replay" { post OPERATOR => dashboard::deliveries::replay }
    "/audit" { get VIEWER => dashboard::audit::list }
    "/explain" { get VIEWER => dashboard::explain::why }
    "/explain/payload" { post VIEWER => dashboard::explain::payload }
    "/servers" { get VIEWER => dashboard::servers::list }
    "/servers/{no}" { get VIEWER => dashboard::servers::one }
    "/servers/{no}/order" { post OPERATOR => dashboard::servers::order }
    "/servers/{no}/dump-collected" { post OPERATOR => dashboard::servers::dump_collected }
    "/policies" { get VIEWER => dashboard::policies::show }
    "/policies/{name}/promote" { post APPROVER => dashboard::policies::promote }
    "/policies/{name}/demote" { post OPERATOR => dashboard::policies::demote }
    "/breakers/{policy}/reset" { post APPROVER => dashboard::policies::reset_breaker }
    "/trends" { get VIEWER => dashboard::trends::show }
    "/holds" { get VIEWER => dashboard::holds::show, post OPERATOR => dashboard::holds::set }
    "/holds/{id}/clear" { post OPERATOR => dashboard::holds::clear }
    "/silences" { post OPERATOR => dashboard::holds::silence }
    "/silences/{id}/end" { post OPERATOR => dashboard::holds::end_silence }
    "/storms/{id}/clear" { post APPROVER => dashboard::holds::clear_storm }
    "/quarantine/clear" { post APPROVER => dashboard::holds::clear_quarantine }
}
