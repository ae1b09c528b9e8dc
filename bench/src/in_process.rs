//! An app that is asked without any network.

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

/// An app, asked by function calls. What it answers must not wait for anything.
#[expect(missing_debug_implementations, reason = "there is nothing to see")]
pub struct InProcess {
    call: Box<dyn Fn(Request) -> u16>,
    /// Of which the app is a part.
    _runtime: Runtime,
}

impl InProcess {
    /// Of what `init_service` makes of an app.
    pub fn new<S, B, E>(app: impl Future<Output = S>) -> Self
    where
        S: Service<Request, Response = ServiceResponse<B>, Error = E> + 'static,
        B: MessageBody,
        E: Debug,
    {
        let runtime = Runtime::new().unwrap();
        let service = runtime.block_on(app);
        let call = move |request| {
            let answer = service.call(request).now_or_never().expect("it waits for nothing");
            answer.unwrap().status().as_u16()
        };
        Self { call: Box::new(call), _runtime: runtime }
    }

    /// The status of its answer, which is dropped as a server does once it is sent.
    #[must_use]
    pub fn call(&self, request: Request) -> u16 {
        (self.call)(request)
    }
}

/// An app with the one route `/` and nothing around it: what there is without a policy.
#[must_use]
pub fn bare() -> InProcess {
    InProcess::new(init_service(App::new().route("/", web::get().to(HttpResponse::Ok))))
}

/// A GET request with this `Authorization`, or none.
#[must_use]
pub fn authorized(path: &str, authorization: Option<&str>) -> Request {
    let request = TestRequest::get().uri(path);
    match authorization {
        Some(credentials) => request.insert_header(("authorization", credentials)),
        None => request,
    }
    .to_request()
}
