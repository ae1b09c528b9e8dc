//! The responses to requests that are refused for another reason than their token: a status and a JSON-RPC
//! error.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

/// Why a request is refused. The text is a fixed sentence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    /// The body is not JSON.
    Parse(&'static str),
    /// The body is no message that names its operation.
    Invalid(&'static str),
    /// A header contradicts the body, is repeated, or is missing.
    Header(&'static str),
    /// The body has another type or coding.
    MediaType(&'static str),
    TooLarge,
    UnknownSession,
}

impl Refusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Parse(reason)
            | Self::Invalid(reason)
            | Self::Header(reason)
            | Self::MediaType(reason) => reason,
            Self::TooLarge => "The body is too large.",
            Self::UnknownSession => "Session not found",
        }
    }

    /// Returns the response. It has no `id`, which the messages of the protocol may omit.
    pub(super) fn response(self) -> HttpResponse {
        let (status, code) = match self {
            Self::Parse(_) => (StatusCode::BAD_REQUEST, -32700),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, -32600),
            Self::Header(_) => (StatusCode::BAD_REQUEST, HEADER_MISMATCH),
            Self::MediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, -32600),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, -32600),
            Self::UnknownSession => (StatusCode::NOT_FOUND, SESSION_NOT_FOUND),
        };
        tracing::debug!(target: "oauth2_actix", reason = self.reason(), "MCP request refused");
        HttpResponse::build(status)
            .json(json!({"jsonrpc": "2.0", "error": {"code": code, "message": self.reason()}}))
    }
}

/// The code for headers that contradict the body (revision 2026-07-28, Streamable HTTP, Server Validation).
const HEADER_MISMATCH: i32 = -32020;

/// The code that servers use for an unknown session.
const SESSION_NOT_FOUND: i32 = -32001;
