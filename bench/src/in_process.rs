//! An app that is called in process, without a network.

use std::fmt::Debug;

use actix_http::Request;
use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    dev::{Service, ServiceResponse},
    rt::Runtime,
    test::{TestRequest, init_service},
    web,
};
use futures_util::FutureExt;

/// An app that is called as a function. Its handlers must be ready at once.
#[expect(missing_debug_implementations, reason = "it has no state to show")]
pub struct InProcess {
    call: Box<dyn Fn(Request) -> u16>,
    /// The runtime that the app was built in.
    _runtime: Runtime,
}

impl InProcess {
    /// Creates it from the result of `init_service`.
    pub fn new<S, B, E>(app: impl Future<Output = S>) -> Self
    where
        S: Service<Request, Response = ServiceResponse<B>, Error = E> + 'static,
        B: MessageBody,
        E: Debug,
    {
        let runtime = Runtime::new().unwrap();
        let service = runtime.block_on(app);
        let call = move |request| {
            let response = service.call(request).now_or_never().expect("the app is ready at once");
            response.unwrap().status().as_u16()
        };
        Self { call: Box::new(call), _runtime: runtime }
    }

    /// Returns the status of the response. The response is dropped, as a server does after sending it.
    #[must_use]
    pub fn call(&self, request: Request) -> u16 {
        (self.call)(request)
    }
}

/// Returns an app with the one route `/` and no middleware.
#[must_use]
pub fn bare() -> InProcess {
    InProcess::new(init_service(App::new().route("/", web::get().to(HttpResponse::Ok))))
}

/// Returns a GET request, with this `Authorization` if there is one.
#[must_use]
pub fn authorized(path: &str, authorization: Option<&str>) -> Request {
    let request = TestRequest::get().uri(path);
    match authorization {
        Some(credentials) => request.insert_header(("authorization", credentials)),
        None => request,
    }
    .to_request()
}
