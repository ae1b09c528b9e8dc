//! Why a call to an endpoint has failed, and how the failure counts.

use std::{error::Error, time::Duration};

use reqwest::StatusCode;

use crate::outbound::endpoint::CallError;

/// A failed call. `E` says why a response is invalid.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure<E: Error + 'static> {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("{error}")]
    Response { error: E, severity: Severity, retry_after: Option<Duration> },
}

/// What a failure says of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The endpoint cannot be reached, or rejects this API: other calls will fail too.
    Endpoint,
    /// The call has failed: others may succeed.
    Call,
    /// The endpoint works, and rejects this request alone. A client may have chosen what was sent.
    Request,
}

impl<E: Error> Failure<E> {
    pub(crate) fn severity(&self) -> Severity {
        match self {
            Self::Call(error) => error.severity(),
            Self::Response { severity, .. } => *severity,
        }
    }

    /// Returns the time that the endpoint has set in `Retry-After`.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(_) => None,
            Self::Response { retry_after, .. } => *retry_after,
        }
    }
}

impl Severity {
    /// Returns what an unexpected status says. A firewall may respond with any 4xx to a token that a client has chosen.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Endpoint,
            408 | 429 => Self::Call,
            400..=499 => Self::Request,
            _ => Self::Call,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_4xx_is_of_the_request_except_those_about_the_client_or_its_load() {
        for (status, severity) in [
            (400, Severity::Request),
            (401, Severity::Endpoint),
            (403, Severity::Request),
            (404, Severity::Request),
            (408, Severity::Call),
            (413, Severity::Request),
            (429, Severity::Call),
            (500, Severity::Call),
            (503, Severity::Call),
        ] {
            let of = StatusCode::from_u16(status).map(Severity::of_status);
            assert_eq!(of.expect("a status"), severity, "{status}");
        }
    }
}
