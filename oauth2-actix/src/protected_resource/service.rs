//! The service that sends the metadata documents (RFC 9728 §3).

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{AppService, HttpServiceFactory, Service},
    guard,
    http::{
        Method,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
            ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL,
            CONTENT_TYPE, ETAG, EntityTag, Header, IfNoneMatch, X_CONTENT_TYPE_OPTIONS,
        },
    },
    web,
};

use super::{Document, Resources};
use crate::public::grant_admission;

/// The service that [`OAuth2::resource_metadata`](crate::OAuth2::resource_metadata) returns.
///
/// ```
/// use actix_web::App;
/// use oauth2_actix::{OAuth2, ResourceMetadata};
///
/// # let oauth2 = oauth2_actix::testing::policy();
/// let documents: ResourceMetadata = oauth2.resource_metadata();
/// let app = App::new().service(documents).wrap(oauth2);
/// # drop(app);
/// ```
#[derive(Clone, Debug)]
#[must_use = "the service sends nothing until an App has it"]
pub struct ResourceMetadata {
    /// The documents, by their paths.
    documents: Vec<(String, Document)>,
}

impl ResourceMetadata {
    pub(crate) fn new(resources: &Resources) -> Self {
        let documents = resources.documents();
        Self { documents: documents.map(|(path, it)| (path.to_owned(), it.clone())).collect() }
    }
}

impl HttpServiceFactory for ResourceMetadata {
    fn register(self, config: &mut AppService) {
        for (path, document) in self.documents {
            let get = move |request: HttpRequest| std::future::ready(send(&document, &request));
            web::resource(path)
                // Granted when the service is called, before there is a response.
                .wrap_fn(|request, service| {
                    grant_admission(&request);
                    service.call(request)
                })
                .route(web::route().guard(guard::Any(guard::Get()).or(guard::Head())).to(get))
                .route(web::method(Method::OPTIONS).to(preflight))
                .default_service(web::to(not_allowed))
                .register(config);
        }
    }
}

fn send(document: &Document, request: &HttpRequest) -> HttpResponse {
    let known = IfNoneMatch::parse(request).is_ok_and(|known| match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => {
            let etag: Option<EntityTag> = document.etag.parse().ok();
            etag.is_some_and(|etag| tags.iter().any(|tag| tag.weak_eq(&etag)))
        }
    });
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, document.etag.as_str()))
        // The document may change at any time (RFC 9728 §5.1).
        .insert_header((CACHE_CONTROL, "public, max-age=300"))
        // It is public, and clients in browsers read it.
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if known {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, "application/json")).body(document.body.clone())
}

/// Permits the headers that clients add to a request for the document, such as `MCP-Protocol-Version`.
async fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, METHODS))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, "*"))
        .insert_header((ACCESS_CONTROL_MAX_AGE, "7200"))
        .finish()
}

async fn not_allowed() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, METHODS)).finish()
}

const METHODS: &str = "GET, HEAD, OPTIONS";
