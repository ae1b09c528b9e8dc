//! Which patterns of an app are known to be public.
//!
//! A request whose token cannot be decided before keys are fetched cannot wait once it has been routed. If
//! its path has a pattern that was public before, it is routed at once.

use std::{cell::RefCell, sync::Arc};

use actix_web::{
    dev::{ResourceDef, ServiceRequest},
    http::Method,
};

/// Patterns of `#[public]` routes, scopes included, and their methods. One for each policy of an app and
/// worker; as large as the app has such routes.
#[derive(Debug, Default)]
pub(crate) struct KnownRoutes(RefCell<Vec<Known>>);

#[derive(Debug)]
struct Known {
    pattern: Arc<str>,
    method: Method,
    resource: ResourceDef,
}

impl KnownRoutes {
    pub(super) fn learn(&self, pattern: &Arc<str>, method: &Method) {
        let is_known =
            |known: &Known| Arc::ptr_eq(&known.pattern, pattern) && known.method == *method;
        if !self.0.borrow().iter().any(is_known) {
            self.0.borrow_mut().push(Known {
                pattern: Arc::clone(pattern),
                method: method.clone(),
                resource: ResourceDef::new(&**pattern),
            });
        }
    }

    /// Whether a request has the method and a pattern of a route that was public before.
    pub(crate) fn has_route_of(&self, request: &ServiceRequest) -> bool {
        let path = request.match_info().as_str();
        let fits =
            |known: &Known| known.method == request.method() && known.resource.is_match(path);
        self.0.borrow().iter().any(fits)
    }
}
