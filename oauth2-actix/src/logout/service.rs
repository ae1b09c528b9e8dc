//! The actix services that receive messages.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    dev::{AppService, HttpServiceFactory, Service},
    http::{
        StatusCode,
        header::{
            ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER,
        },
    },
    rt, web,
};
use serde_json::json;

use super::{
    form::{BodyError, only_value, read_body},
    receiver::{Code, Kind, Receiver, Receivers, Refusal},
};
use crate::{public::grant_admission, util::telemetry};

/// The services that [`OAuth2::logout_receivers`](crate::OAuth2::logout_receivers) returns.
///
/// ```
/// use actix_web::App;
/// use oauth2_actix::{OAuth2, logout::LogoutReceivers};
///
/// # let oauth2 = oauth2_actix::testing::policy();
/// let receivers: LogoutReceivers = oauth2.logout_receivers();
/// let app = App::new().service(receivers).wrap(oauth2);
/// # drop(app);
/// ```
#[derive(Clone, Debug)]
#[must_use = "the services receive nothing until they are registered in an App"]
pub struct LogoutReceivers(Vec<Arc<Receiver>>);

impl LogoutReceivers {
    pub(crate) fn new(receivers: &Receivers) -> Self {
        Self(receivers.iter().cloned().collect())
    }
}

impl HttpServiceFactory for LogoutReceivers {
    fn register(self, config: &mut AppService) {
        for receiver in self.0 {
            let path = receiver.path.clone();
            let post = move |request: HttpRequest, payload: web::Payload| {
                let receiver = Arc::clone(&receiver);
                async move { receive(&receiver, &request, payload).await }
            };
            web::resource(path)
                // Granted when the service is called, before there is a response.
                .wrap_fn(|request, service| {
                    grant_admission(&request);
                    service.call(request)
                })
                .route(web::post().to(post))
                .default_service(web::to(not_allowed))
                .register(config);
        }
    }
}

async fn receive(
    receiver: &Arc<Receiver>,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> HttpResponse {
    let result = match receiver.kind {
        Kind::LogoutTokens { .. } => logout(receiver, request, &mut payload).await,
        Kind::SecurityEvents { .. } => event(receiver, request, &mut payload).await,
    };
    let outcome = match &result {
        Ok(()) => "accepted",
        Err(Failure::Refused(Refusal::Unavailable)) => "failed",
        Err(_) => "rejected",
    };
    let name = match receiver.kind {
        Kind::LogoutTokens { .. } => "backchannel_logout",
        Kind::SecurityEvents { .. } => "security_events",
    };
    telemetry::logout_message(name, outcome);
    match (receiver.kind, result) {
        // OpenID Connect Back-Channel Logout 1.0 §2.8.
        (Kind::LogoutTokens { .. }, Ok(())) => response(StatusCode::OK).finish(),
        (Kind::LogoutTokens { .. }, Err(failure)) => {
            let code = match failure {
                Failure::Refused(Refusal::Unavailable) => "temporarily_unavailable",
                _ => "invalid_request",
            };
            let body = json!({"error": code, "error_description": failure.description()});
            failure.response().json(body)
        }
        // RFC 8935 §2.2 and §2.3.
        (Kind::SecurityEvents { .. }, Ok(())) => response(StatusCode::ACCEPTED).finish(),
        (Kind::SecurityEvents { .. }, Err(failure)) => {
            let body = json!({"err": failure.code(), "description": failure.description()});
            failure.response().insert_header((CONTENT_LANGUAGE, "en")).json(body)
        }
    }
}

async fn logout(
    receiver: &Arc<Receiver>,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<(), Failure> {
    check_content_type(receiver, request, "application/x-www-form-urlencoded")?;
    let body = read_body(payload).await?;
    let token = only_value(&body, "logout_token").ok_or_else(|| {
        receiver
            .refuse(Code::Request, "the form has no `logout_token` or several; expected one".into())
    })?;
    Ok(process(receiver, token.into_owned()).await?)
}

async fn event(
    receiver: &Arc<Receiver>,
    request: &HttpRequest,
    payload: &mut web::Payload,
) -> Result<(), Failure> {
    let authorization = request.headers().get(AUTHORIZATION);
    receiver.check_authorization(authorization.map(|value| value.as_bytes()))?;
    check_content_type(receiver, request, "application/secevent+jwt")?;
    let body = read_body(payload).await?;
    let token = std::str::from_utf8(&body)
        .map_err(|_| receiver.refuse(Code::Request, "the body is not UTF-8".into()))?;
    Ok(process(receiver, token.trim_ascii().to_owned()).await?)
}

/// Processes a message in a separate task: a sender that disconnects does not stop it. The time is limited by the waits for
/// keys and for the store.
async fn process(receiver: &Arc<Receiver>, message: String) -> Result<(), Refusal> {
    let task = Arc::clone(receiver);
    let processed = rt::spawn(async move { task.receive(&message).await }).await;
    // Nothing cancels the task, so it has panicked.
    processed.unwrap_or_else(|error| Err(receiver.fail(&error)))
}

fn check_content_type(
    receiver: &Receiver,
    request: &HttpRequest,
    expected: &'static str,
) -> Result<(), Refusal> {
    let sent = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.split(';').next()).unwrap_or_default();
    if sent.trim().eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(receiver
        .refuse(Code::Request, format!("its content type is wrong; expected {expected}").into()))
}

async fn not_allowed() -> HttpResponse {
    response(StatusCode::METHOD_NOT_ALLOWED).insert_header((ALLOW, "POST")).finish()
}

fn response(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.insert_header((CACHE_CONTROL, "no-store"));
    response
}

/// Why a request was not processed.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Body(BodyError),
    Refused(Refusal),
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Failure {
    fn response(self) -> HttpResponseBuilder {
        match self {
            Self::Body(BodyError::TooLarge) => response(StatusCode::PAYLOAD_TOO_LARGE),
            Self::Refused(Refusal::Unavailable) => {
                let mut response = response(StatusCode::SERVICE_UNAVAILABLE);
                response.insert_header((RETRY_AFTER, "1"));
                response
            }
            _ => response(StatusCode::BAD_REQUEST),
        }
    }

    /// Returns a fixed sentence, since anyone may send requests.
    fn description(self) -> &'static str {
        match self {
            Self::Body(BodyError::TooLarge) => "The body is too large.",
            Self::Body(BodyError::Incomplete) => "The body is incomplete.",
            Self::Refused(Refusal::Unavailable) => "The message cannot be checked at the moment.",
            Self::Refused(Refusal::Invalid(_)) => "The message is not accepted.",
        }
    }

    /// Returns the code of RFC 8935 §2.4.
    fn code(self) -> &'static str {
        match self {
            Self::Refused(Refusal::Invalid(code)) => match code {
                Code::Request => "invalid_request",
                Code::Key => "invalid_key",
                Code::Issuer => "invalid_issuer",
                Code::Audience => "invalid_audience",
                Code::Authentication => "authentication_failed",
            },
            Self::Refused(Refusal::Unavailable) => "temporarily_unavailable",
            Self::Body(_) => "invalid_request",
        }
    }
}
