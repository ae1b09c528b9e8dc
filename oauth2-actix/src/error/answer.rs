//! What a client gets for each reason: status, code, description and WebSocket close.

use actix_web::http::StatusCode;

use super::{Error, ErrorKind};

/// What a client gets for an error.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) description: &'static str,
    /// The close code and reason for a WebSocket.
    #[cfg_attr(not(feature = "websocket"), allow(dead_code))]
    pub(crate) close: (u16, &'static str),
}

impl Error {
    fn is_undisclosed(&self) -> bool {
        self.details.as_ref().is_some_and(|details| details.is_undisclosed)
    }

    /// Returns what a client gets for this error. No other function decides that.
    pub(crate) fn answer(&self) -> Answer {
        use ErrorKind as Kind;
        let invalid_token = |description, close| Answer {
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_token",
            description,
            close,
        };
        const INACTIVE: &str = "The token is not active, or not meant for this resource.";
        if self.is_undisclosed() && !matches!(self.kind, Kind::IntrospectionUnavailable { .. }) {
            return invalid_token(INACTIVE, (POLICY, "invalid token"));
        }
        match &self.kind {
            Kind::AlgorithmNotAllowed
            | Kind::KeysUntried { .. }
            | Kind::SignatureInvalid
            | Kind::UnknownKey => {
                invalid_token("The token's signature is not accepted.", (POLICY, "invalid token"))
            }
            Kind::AudienceMismatch { .. } | Kind::UnknownIssuer { .. } => invalid_token(
                "The token is not meant for this resource.",
                (POLICY, "invalid token"),
            ),
            Kind::ClaimInvalid { .. }
            | Kind::TokenMalformed { .. }
            | Kind::TokenTooLong { .. }
            | Kind::TypeNotAllowed => {
                invalid_token("The token is not an acceptable JWT.", (POLICY, "invalid token"))
            }
            Kind::ClientNotAllowed
            | Kind::PrincipalUnauthorized
            | Kind::RequirementNotMet { .. }
            | Kind::SubjectNotAllowed => {
                invalid_token("The token is not accepted here.", (POLICY, "invalid token"))
            }
            Kind::Expired { .. } | Kind::TokenTooOld { .. } => {
                invalid_token("The token has expired.", (POLICY, "token expired"))
            }
            Kind::InsufficientAuthentication { .. } => Answer {
                status: StatusCode::UNAUTHORIZED,
                code: "insufficient_user_authentication",
                description: "Another or a more recent authentication is required.",
                close: (POLICY, "insufficient user authentication"),
            },
            Kind::InsufficientClaims { .. }
            | Kind::InsufficientScope { .. }
            | Kind::PrincipalForbidden => Answer {
                status: StatusCode::FORBIDDEN,
                code: "insufficient_scope",
                description: "The token does not permit this.",
                close: (POLICY, "insufficient scope"),
            },
            Kind::KeysUnavailable { .. }
            | Kind::ApiKeysUnavailable
            | Kind::CheckUnavailable
            | Kind::IntrospectionUnavailable { .. }
            | Kind::ReplayStoreUnavailable
            | Kind::RevocationStatusUnavailable => Answer {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "temporarily_unavailable",
                description: "Tokens cannot be checked at the moment.",
                close: (TRY_AGAIN_LATER, "try again later"),
            },
            Kind::NotConfigured => Answer {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                code: "",
                description: "",
                close: (POLICY, ""),
            },
            Kind::ApiKeyUnknown | Kind::TokenInactive => {
                invalid_token(INACTIVE, (POLICY, "invalid token"))
            }
            Kind::CertificateMismatch { .. } => invalid_token(
                "The token is bound to another client certificate.",
                (POLICY, "invalid token"),
            ),
            Kind::NonceRequired => Answer {
                status: StatusCode::UNAUTHORIZED,
                code: "use_dpop_nonce",
                description: "The DPoP proof needs the nonce of the DPoP-Nonce header.",
                close: (POLICY, "nonce required"),
            },
            Kind::NotCertificateBound => invalid_token(
                "A token that is bound to a client certificate is required.",
                (POLICY, "invalid token"),
            ),
            Kind::NotDpopBound => invalid_token(
                "A token that is bound to a DPoP key is required.",
                (POLICY, "invalid token"),
            ),
            Kind::NotYetValid { .. } => {
                invalid_token("The token is not valid yet.", (POLICY, "invalid token"))
            }
            Kind::ProofInvalid { .. } | Kind::ProofReplayed => Answer {
                status: StatusCode::UNAUTHORIZED,
                code: "invalid_dpop_proof",
                description: "The DPoP proof is not accepted.",
                close: (POLICY, "invalid proof"),
            },
            Kind::ProofKeyMismatch => {
                invalid_token("The token is bound to another DPoP key.", (POLICY, "invalid token"))
            }
            Kind::OriginNotAllowed => Answer {
                status: StatusCode::FORBIDDEN,
                code: "invalid_request",
                description: "Requests of this origin are not accepted.",
                close: (POLICY, "origin not allowed"),
            },
            Kind::RequestMalformed { .. } => Answer {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_request",
                description: "Send one access token, as Authorization: Bearer TOKEN.",
                close: (POLICY, "invalid request"),
            },
            Kind::SenderConstrained => invalid_token(
                "The token is sender-constrained and cannot be used as a bearer token.",
                (POLICY, "invalid token"),
            ),
            Kind::SubjectMismatch => invalid_token(
                "The token belongs to a different subject.",
                (POLICY, "invalid token"),
            ),
            Kind::TokenMissing => Answer {
                status: StatusCode::BAD_REQUEST,
                code: "invalid_request",
                description: "A bearer token is required.",
                close: (POLICY, "token missing"),
            },
            Kind::TokenRevoked => {
                invalid_token("The token was revoked.", (POLICY, "token revoked"))
            }
        }
    }
}

// Close codes of RFC 6455 §7.4.1 and of the IANA registry.
const POLICY: u16 = 1008;
const TRY_AGAIN_LATER: u16 = 1013;
