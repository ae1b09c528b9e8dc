//! The errors for an unknown issuer or audience, with the settings that the log shows and the one that is similar,
//! and the selection of the error to report when several providers reject a token.

use std::sync::Arc;

use crate::{
    config::resource_uri::ResourceUri,
    error::{Error, ErrorKind, difference::Difference, listed},
    jose::{
        algorithm::Algorithm,
        algorithm_binding::BoundToAnother,
        key_set::{SignatureCheck, Tried},
    },
    json::object::Object,
    provider::ResolvedProvider,
    token::validation,
};

use super::Policy;

impl Policy {
    pub(super) fn unknown_issuer(&self, issuer: &str) -> Error {
        // A trailing slash is the most common mistake, above all with Auth0 and Microsoft Entra.
        let slash_differs = match issuer.strip_suffix('/') {
            Some(without) => self.by_issuer.contains_key(without),
            None => self.by_issuer.contains_key(&format!("{issuer}/")),
        };
        let configured = self.issuers.iter().map(String::as_str);
        let difference = if slash_differs {
            Some(Difference::TrailingSlash)
        } else {
            Difference::to_any(issuer, configured.clone())
        };
        let error = Error::from(ErrorKind::UnknownIssuer { difference });
        if self.issuers.is_empty() && !self.by_trust_domain.is_empty() {
            return error.with_expected("no `iss`").with_hint(
                "the token has an `iss`, which is optional for a JWT-SVID: set it as `issuer` of the \
                 provider of its trust domain",
            );
        }
        error.with_expected(listed(configured))
    }
}

/// Returns the error for a token whose audiences match no provider of its issuer.
pub(super) fn audience_mismatch<'a>(
    of_issuer: impl Iterator<Item = &'a Arc<ResolvedProvider>> + Clone,
    claims: &Object,
) -> Error {
    let audiences = |provider: &ResolvedProvider| -> Vec<String> {
        let resources = provider.resources.iter().map(ResourceUri::text);
        provider.audiences.iter().cloned().chain(resources).collect()
    };
    let difference = of_issuer.clone().find_map(|provider| {
        let configured = audiences(provider);
        validation::audiences(claims, &provider.audience_claim).take(MAX_COMPARED).find_map(
            |audience| Difference::to_any(audience, configured.iter().map(String::as_str)),
        )
    });
    let configured: Vec<String> =
        of_issuer.clone().flat_map(|provider| audiences(provider)).collect();
    let error = Error::from(ErrorKind::AudienceMismatch { difference })
        .with_expected(listed(configured.iter().map(String::as_str)));
    let mut providers = of_issuer;
    match (providers.next(), providers.next()) {
        (Some(only), None) => error.with_provider(&only.name),
        _ => error,
    }
}

/// The most audiences of a token that are compared with configured ones to explain a rejection.
const MAX_COMPARED: usize = 4;

/// Returns the rejection to report. One that a retry may reverse outranks a final one, since other keys might have
/// accepted the token. Of two with the same rank, it is the first.
pub(super) fn most_specific(one: Error, other: Error) -> Error {
    fn rank(error: &Error) -> u8 {
        match error.kind() {
            // These keys might have accepted the token, whatever else is wrong.
            ErrorKind::KeysUnavailable { .. } => 4,
            ErrorKind::KeysUntried { .. } => 3,
            ErrorKind::SignatureInvalid => 2,
            ErrorKind::UnknownKey | ErrorKind::TypeNotAllowed | ErrorKind::SenderConstrained => 1,
            _ => 0,
        }
    }
    if rank(&other) > rank(&one) { other } else { one }
}

/// Returns the rejection of a token by a signature check with the keys of a provider.
pub(super) fn signature_rejection(
    provider: &ResolvedProvider,
    algorithm: Algorithm,
    found: SignatureCheck,
) -> Error {
    if let SignatureCheck::BoundToAnother(BoundToAnother { used, is_first: true }) = found {
        let name = &*provider.name;
        // Once for each key. The keys of a tenant may be an attacker's, and as many as it likes.
        if provider.is_tenant() {
            tracing::debug!(target: "oauth2_actix", provider = name, %used, %algorithm, "{BOUND}");
        } else {
            tracing::warn!(target: "oauth2_actix", provider = name, %used, %algorithm, "{BOUND}");
        }
    }
    Error::from(found).with_provider(&provider.name)
}

const BOUND: &str = "a key without alg is used with two algorithms: tokens by the second are rejected; name both in \
                     `algorithms` of the provider, or publish a key with its `alg` for each";

impl From<SignatureCheck> for Error {
    fn from(result: SignatureCheck) -> Self {
        match result {
            SignatureCheck::BoundToAnother(BoundToAnother { used, .. }) => {
                let error = Self::from(ErrorKind::AlgorithmNotAllowed);
                return error.with_expected(used.name()).with_hint(
                    "the key has no `alg`, so that it is used with the algorithm of its first token: name both \
                     algorithms in `algorithms` of the provider, or publish a key with its `alg` for each",
                );
            }
            SignatureCheck::AlgorithmNotAllowed => ErrorKind::AlgorithmNotAllowed,
            SignatureCheck::UnknownKey(Tried { tried: 0, .. }) => ErrorKind::UnknownKey,
            SignatureCheck::UnknownKey(Tried { tried, fitting })
            | SignatureCheck::SignatureInvalid(Tried { tried, fitting })
                if tried < fitting =>
            {
                ErrorKind::KeysUntried { tried, fitting }
            }
            // Unreachable for a verified token. Rejects in any case.
            SignatureCheck::UnknownKey(_)
            | SignatureCheck::SignatureInvalid(_)
            | SignatureCheck::Verified(_) => ErrorKind::SignatureInvalid,
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rejection_that_a_retry_may_reverse_outranks_a_final_one() {
        let kinds = [
            ErrorKind::KeysUnavailable { retry_after: Duration::from_secs(1) },
            ErrorKind::KeysUntried { tried: 16, fitting: 17 },
            ErrorKind::SignatureInvalid,
            ErrorKind::UnknownKey,
            ErrorKind::AlgorithmNotAllowed,
        ];
        for (index, higher) in kinds.iter().enumerate() {
            for lower in &kinds[index + 1..] {
                let error = |kind: &ErrorKind| Error::from(kind.clone());
                assert_eq!(most_specific(error(higher), error(lower)).kind(), higher);
                assert_eq!(most_specific(error(lower), error(higher)).kind(), higher);
            }
        }
    }

    #[test]
    fn first_of_two_rejections_with_the_same_rank_is_reported() {
        let reported =
            most_specific(ErrorKind::UnknownKey.into(), ErrorKind::SenderConstrained.into());
        assert_eq!(reported.kind(), &ErrorKind::UnknownKey);
    }
}
