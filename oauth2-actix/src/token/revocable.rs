//! What entries of the deny list are compared with: some claims, and the text of the token.

use std::sync::Arc;

use crate::{
    json::object::Object,
    revocation::{Revocable, Revocation, Revocations, TokenFacts},
    token::{
        claims::Claims,
        validation,
        verified::{VerifiedBy, VerifiedToken},
    },
};
use serde_json::Value;

impl Revocation {
    /// Revokes one token until it expires: by its `jti`
    /// ([RFC 7519 §4.1.7](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.7)) or, if it has none, by its text. The
    /// signature of a JWT is not a part of that text, since anyone can change an ECDSA signature into another valid one.
    ///
    /// The entry ends at `exp` plus the leeway, also with a shorter [`max_token_age`](crate::OAuth2Builder::max_token_age). The
    /// entry of a token without `exp`, which only an issuer that is asked can have, has no end: revoke such a token at its
    /// issuer too.
    ///
    /// ```
    /// use actix_web::{HttpResponse, post, web};
    /// use oauth2_actix::{Claims, OAuth2, revocation::Revocation};
    ///
    /// /// Ends the token of the request.
    /// #[post("/logout")]
    /// async fn logout(claims: Claims, oauth2: web::Data<OAuth2>) -> HttpResponse {
    ///     match oauth2.revoke(Revocation::token(&claims)).await {
    ///         Ok(()) => HttpResponse::NoContent().finish(),
    ///         Err(error) => HttpResponse::ServiceUnavailable().body(error.to_string()),
    ///     }
    /// }
    /// # fn main() {}
    /// ```
    pub fn token(claims: &Claims) -> Self {
        let VerifiedToken { claims, token, lifetime, verified_by, .. } = claims.verified();
        Self::of_token(facts(claims, token, verified_by).own_key(), lifetime.end_of_exp(claims))
    }
}

/// Returns what a token that was just verified keeps for the deny list.
pub(crate) fn revocable(
    list: &Arc<Revocations>,
    claims: &Object,
    token: &[u8],
    verified_by: &VerifiedBy,
) -> Box<Revocable> {
    Box::new(Revocable::new(list, &facts(claims, token, verified_by)))
}

fn facts<'a>(claims: &'a Object, token: &'a [u8], verified_by: &'a VerifiedBy) -> TokenFacts<'a> {
    let text = |name| claims.get(name).and_then(Value::as_str);
    TokenFacts {
        issuer: text("iss").unwrap_or_default(),
        token_id: text("jti"),
        text: match verified_by {
            // Operators have the hash of a key, and not the key.
            VerifiedBy::ApiKey(key) => &key.hash,
            VerifiedBy::Introspection { .. } if !looks_like_a_jwt(token) => token,
            _ => signed_part(token),
        },
        subject: text("sub"),
        session: text("sid"),
        client: validation::client_id(claims),
        issued_at: claims.get("iat").and_then(Value::as_f64),
    }
}

/// Returns whether a token has three parts, of which the first begins as a JSON object in base64url does. The issuer may
/// accept another valid signature of such a token when it is asked.
fn looks_like_a_jwt(token: &[u8]) -> bool {
    token.starts_with(b"ey") && token.iter().filter(|byte| **byte == b'.').count() == 2
}

/// Returns what the signature of a JWT is for: the header and the payload.
fn signed_part(token: &[u8]) -> &[u8] {
    match token.iter().rposition(|byte| *byte == b'.') {
        Some(dot) => &token[..dot],
        None => token,
    }
}
