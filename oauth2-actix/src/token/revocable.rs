//! What entries of the deny list are compared with: some claims, and the text of the token.

use std::{borrow::Cow, sync::Arc};

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
    /// ([RFC 7519 §4.1.7](https://www.rfc-editor.org/rfc/rfc7519#section-4.1.7)). Without `jti`, a JWT is identified by its
    /// header and payload, since anyone can change an ECDSA signature into another valid one. An introspected token is
    /// identified by `sub`, `client_id` and `iat` (or `exp` without `iat`) of the response: two tokens that one client got for
    /// one subject in the same second are revoked together.
    ///
    /// The entry ends at `exp` plus the leeway, also with a shorter [`max_token_age`](crate::OAuth2Builder::max_token_age). The
    /// entry of an introspected token without `exp` does not expire: revoke such a token at its issuer too.
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
            VerifiedBy::ApiKey(key) => key.hash.as_slice().into(),
            VerifiedBy::Introspection(_) => {
                identity_of_introspected(claims).unwrap_or_else(|| token.into())
            }
            VerifiedBy::Keys(_) => signed_part(token).into(),
        },
        subject: text("sub"),
        session: text("sid"),
        client: validation::client_id(claims),
        issued_at: claims.get("iat").and_then(Value::as_f64),
    }
}

/// Returns the members of an introspection response that identify its token. An issuer may accept several texts for one
/// token, for example with another last character or without its prefix, and the client chooses the text. Members that an
/// issuer may change between two responses are not used, such as the order of scopes, or an `exp` that it prolongs. None if
/// the response does not say when the token was issued or expires.
fn identity_of_introspected(claims: &Object) -> Option<Cow<'static, [u8]>> {
    let time = claims.get("iat").or_else(|| claims.get("exp"))?;
    let members = [claims.get("sub"), claims.get("client_id"), Some(time)];
    serde_json::to_vec(&members).ok().map(Cow::Owned)
}

/// Returns what the signature of a JWT is for: the header and the payload.
fn signed_part(token: &[u8]) -> &[u8] {
    match token.iter().rposition(|byte| *byte == b'.') {
        Some(dot) => &token[..dot],
        None => token,
    }
}
