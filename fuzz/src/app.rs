//! Calls of an app with requests that a fuzzer creates.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    http::{Method, Uri},
    test::TestRequest,
};

/// The name of the handler that served a request, from the header that each handler sets. None: no handler
/// did.
pub(crate) const SERVED_BY: &str = "x-served-by";

/// Sends a request. Returns None if it is not a valid HTTP request.
pub(crate) async fn call<S, B>(
    app: &S,
    method: &Method,
    path: &str,
    host: Option<&str>,
) -> Option<(u16, Option<String>)>
where
    S: Service<actix_http::Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let uri: Uri = path.parse().ok()?;
    if !uri.path().starts_with('/') {
        return None;
    }
    let mut request = TestRequest::default().method(method.clone()).uri(path);
    if let Some(host) = host {
        request = request.insert_header(("host", host));
    }
    Some(match app.call(request.to_request()).await {
        Ok(response) => {
            let served = response.headers().get(SERVED_BY);
            let served = served.map(|value| value.to_str().expect("ASCII").to_owned());
            (response.status().as_u16(), served)
        }
        Err(error) => (error.as_response_error().status_code().as_u16(), None),
    })
}
