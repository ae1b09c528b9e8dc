//! Detects that an inner middleware changes the path that the router sees.
//!
//! `public_paths` is applied to the path as `OAuth2` receives it. actix's router decides as soon as the inner
//! service is called, and before its future is polled: if the path has been replaced by then, the request was
//! routed elsewhere, and its future is dropped before a handler runs.

use std::{
    rc::{Rc, Weak as RcWeak},
    sync::{Arc, Weak},
};

use actix_web::{
    dev::{Extensions, ServiceRequest, Url},
    http::Uri,
};
use bytes::Bytes;

/// Watches the path of one request.
#[derive(Debug)]
pub(crate) struct PathWatch(RcWeak<Watched>);

/// The state in the data containers of a request whose path is watched. It lives as long as the request: a
/// middleware can clear the request's extensions, but cannot remove a container.
#[derive(Debug)]
struct Watched {
    /// Dropped with the text of the router's path: with the request, or when the path is replaced.
    path: Weak<()>,
}

impl PathWatch {
    /// Starts to watch the path. None if the path cannot be watched, or was replaced since an outer `OAuth2`
    /// started to watch it.
    pub(crate) fn start(request: &mut ServiceRequest) -> Option<Self> {
        let outer = request.app_data::<Rc<Watched>>().cloned();
        if let Some(watched) = outer {
            return watched.is_unchanged().then(|| Self(Rc::downgrade(&watched)));
        }
        let url = request.match_info().get_ref();
        let alive = Arc::new(());
        let watched = Rc::new(Watched { path: Arc::downgrade(&alive) });
        // A copy of the path in a buffer whose lifetime is observable.
        let text = Bytes::from_owner(Text { uri: url.uri().to_string(), _alive: alive });
        let same = Url::new(Uri::from_maybe_shared(text).ok()?);
        if same.path() != url.path() {
            return None;
        }
        *request.match_info_mut().get_mut() = same;
        let watch = Self(Rc::downgrade(&watched));
        let mut container = Extensions::new();
        container.insert(watched);
        request.add_data_container(Rc::new(container));
        Some(watch)
    }

    /// Returns whether the request was routed by its original path, or was dropped.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.0.upgrade().is_none_or(|watched| watched.is_unchanged())
    }
}

impl Watched {
    fn is_unchanged(&self) -> bool {
        self.path.strong_count() > 0
    }
}

struct Text {
    uri: String,
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.uri.as_bytes()
    }
}
