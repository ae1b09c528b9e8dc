//! Which patterns of an app are known to be public.
//!
//! A request whose token cannot be decided before keys are fetched cannot wait once it has been
//! routed. What the resource map says of its path, compared with what was public before, tells whether
//! it should be routed at once.

use std::{cell::RefCell, collections::HashMap, sync::Arc};

use actix_web::{dev::ServiceRequest, http::Method};

/// Patterns of `#[public]` routes, scopes included, and their methods. One for each app and worker; as
/// large as the app has such routes.
#[derive(Debug, Default)]
pub(crate) struct KnownRoutes(RefCell<HashMap<Arc<str>, Vec<Method>>>);

impl KnownRoutes {
    pub(super) fn learn(&self, pattern: &Arc<str>, method: &Method) {
        if self.contains(pattern, method) {
            return;
        }
        self.0.borrow_mut().entry(Arc::clone(pattern)).or_default().push(method.clone());
    }

    fn contains(&self, pattern: &str, method: &Method) -> bool {
        self.0.borrow().get(pattern).is_some_and(|methods| methods.contains(method))
    }

    /// Whether the first resource for the path of a request, whatever its guards, was public before.
    pub(crate) fn has_route_of(&self, request: &ServiceRequest) -> bool {
        if self.0.borrow().is_empty() {
            return false;
        }
        let pattern = request.resource_map().match_pattern(request.match_info().as_str());
        pattern.is_some_and(|pattern| self.contains(&pattern, request.method()))
    }
}
