//! What a token is exchanged for, and the parameters of the request.

use aws_lc_rs::digest::{Context, SHA256};
use url::Url;

use crate::{
    config::token_exchange::{ExchangeGrant, RequestedTokenType},
    outbound::{authentication::Form, shared_calls::CallKey},
};

/// What a token is exchanged for: the service that it is sent to, and the scopes that it needs there
/// ([RFC 8693 §2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)).
///
/// ```
/// use oauth2_actix::exchange::ExchangeTarget;
///
/// let stock = ExchangeTarget::resource("https://stock.example.com/api").scopes(["stock:read"]);
/// # drop(stock);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "it does nothing until it is given to `OAuth2::exchange_for`"]
pub struct ExchangeTarget {
    audiences: Vec<String>,
    resources: Vec<String>,
    scopes: Vec<String>,
    actor_token: Option<String>,
}

impl ExchangeTarget {
    /// Sets the audience: the name of the service at the provider. Many providers call it a client id.
    ///
    /// ```
    /// let stock = oauth2_actix::exchange::ExchangeTarget::audience("stock");
    /// # drop(stock);
    /// ```
    pub fn audience(audience: impl Into<String>) -> Self {
        Self::empty().and_audience(audience)
    }

    /// Sets the resource: the URL of the service
    /// ([RFC 8707 §2](https://www.rfc-editor.org/rfc/rfc8707#section-2)). It is absolute and has no fragment.
    ///
    /// ```
    /// let stock = oauth2_actix::exchange::ExchangeTarget::resource("https://stock.example.com/api");
    /// # drop(stock);
    /// ```
    pub fn resource(resource: impl Into<String>) -> Self {
        Self::empty().and_resource(resource)
    }

    /// Adds another audience. Prefer one token for each service: each recipient of a shared token could replay it at the
    /// others.
    ///
    /// ```
    /// use oauth2_actix::exchange::ExchangeTarget;
    ///
    /// let both = ExchangeTarget::audience("stock").and_audience("prices");
    /// # drop(both);
    /// ```
    pub fn and_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Adds another resource, as [`and_audience`](Self::and_audience) adds an audience.
    ///
    /// ```
    /// use oauth2_actix::exchange::ExchangeTarget;
    ///
    /// let stock = ExchangeTarget::audience("stock").and_resource("https://stock.example.com/api");
    /// # drop(stock);
    /// ```
    pub fn and_resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// Sets the requested scopes. Default: none, and the provider decides. Order and duplicates are ignored.
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self.scopes.sort_unstable();
        self.scopes.dedup();
        self
    }

    /// Sets the access token of the actor: `actor_token`
    /// ([RFC 8693 §2.1](https://www.rfc-editor.org/rfc/rfc8693#section-2.1)). The issued token then identifies both, in
    /// `sub` and `act` (§4.1). Default: none, and most providers use the authenticated client as the actor.
    ///
    /// ```
    /// use oauth2_actix::exchange::ExchangeTarget;
    ///
    /// fn by_agent(token_of_the_agent: &str) -> ExchangeTarget {
    ///     ExchangeTarget::audience("stock").actor_token(token_of_the_agent)
    /// }
    /// # drop(by_agent("x"));
    /// ```
    pub fn actor_token(mut self, token: impl Into<String>) -> Self {
        self.actor_token = Some(token.into());
        self
    }

    pub(super) fn actor(&self) -> Option<&str> {
        self.actor_token.as_deref()
    }

    fn empty() -> Self {
        let (audiences, resources, scopes) = (Vec::new(), Vec::new(), Vec::new());
        Self { audiences, resources, scopes, actor_token: None }
    }

    /// Returns the problem of an invalid target.
    pub(super) fn check(&self, grant: ExchangeGrant) -> Result<(), &'static str> {
        if self.audiences.is_empty() && self.resources.is_empty() {
            return Err("it has no audience or resource; expected at least one");
        }
        let texts = || self.audiences.iter().chain(&self.resources);
        if texts().any(|text| text.is_empty() || text.contains(char::is_control)) {
            return Err(
                "an audience or resource is empty or has control characters; expected a value without them",
            );
        }
        let is_resource = |text: &String| {
            Url::parse(text).is_ok_and(|url| url.fragment().is_none()) && !text.contains(' ')
        };
        if !self.resources.iter().all(is_resource) {
            return Err(
                "a resource is invalid; expected an absolute URL without a fragment (RFC 8707 §2)",
            );
        }
        // A space would request two scopes.
        let is_scope = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
        if self.scopes.iter().any(|scope| scope.is_empty() || !scope.bytes().all(is_scope)) {
            return Err(
                "a scope is empty or has an invalid character; expected a scope of RFC 6749 §3.3",
            );
        }
        let length: usize = texts().chain(&self.scopes).map(String::len).sum();
        if length > MAX_TARGET {
            return Err("its audiences, resources and scopes are too long; expected at most 8 KiB");
        }
        if !self.actor_token.as_ref().is_none_or(|token| is_token68(token)) {
            return Err(
                "the actor token has an invalid character; expected a bearer token (RFC 6750 §2.1)",
            );
        }
        if grant == ExchangeGrant::OnBehalfOf
            && (self.audiences.len() != 1
                || !self.resources.is_empty()
                || self.actor_token.is_some()
                // It becomes a part of a scope.
                || !self.audiences.iter().all(|audience| audience.bytes().all(is_scope)))
        {
            return Err(
                "it is invalid for `on_behalf_of`; expected exactly one audience, no resource and no actor token",
            );
        }
        Ok(())
    }

    /// Returns the key of a call: no other token or target has the same.
    pub(super) fn call_key(&self, token: &str) -> CallKey {
        let mut context = Context::new(&SHA256);
        // Lengths, so that no value can be moved from one parameter to another.
        let mut add = |text: &str| {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        };
        add(token);
        add(self.actor_token.as_deref().unwrap_or_default());
        for list in [&self.audiences, &self.resources, &self.scopes] {
            add(&list.len().to_string());
            list.iter().for_each(|text| add(text));
        }
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        id
    }

    /// Returns the parameters of the request.
    pub(super) fn form(
        &self,
        token: &str,
        grant: ExchangeGrant,
        requested: RequestedTokenType,
    ) -> Form {
        let mut form = Form::default();
        match grant {
            ExchangeGrant::TokenExchange => {
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
                form.add("subject_token", token);
                form.add("subject_token_type", ACCESS_TOKEN);
                form.add("requested_token_type", requested.urn());
                self.audiences.iter().for_each(|audience| form.add("audience", audience));
                self.resources.iter().for_each(|resource| form.add("resource", resource));
                if let Some(actor_token) = &self.actor_token {
                    form.add("actor_token", actor_token);
                    form.add("actor_token_type", ACCESS_TOKEN);
                }
                if !self.scopes.is_empty() {
                    form.add("scope", self.scopes.join(" "));
                }
            }
            ExchangeGrant::OnBehalfOf => {
                form.add("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
                form.add("assertion", token);
                form.add("requested_token_use", "on_behalf_of");
                form.add("scope", self.scopes_of_entra());
            }
        }
        form
    }

    /// Returns the scopes as Entra writes them: below the URI of the service. `.default` are all that were consented to. Its
    /// form has a second slash after a URI that ends with one, since Entra compares the URI with that of the service.
    fn scopes_of_entra(&self) -> String {
        let audience = self.audiences.first().map_or("", String::as_str);
        let below = format!("{}/", audience.strip_suffix('/').unwrap_or(audience));
        let full = |scope: &String| {
            if scope.starts_with(&below) { scope.clone() } else { format!("{below}{scope}") }
        };
        match &self.scopes[..] {
            [] => format!("{audience}/.default"),
            scopes => scopes.iter().map(full).collect::<Vec<_>>().join(" "),
        }
    }

    /// Returns the requested scopes.
    pub(super) fn requested_scopes(&self) -> &[String] {
        &self.scopes
    }
}

/// Shows no actor token.
impl std::fmt::Debug for ExchangeTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ExchangeTarget")
            .field("audiences", &self.audiences)
            .field("resources", &self.resources)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl RequestedTokenType {
    fn urn(self) -> &'static str {
        match self {
            Self::AccessToken => ACCESS_TOKEN,
            Self::Jwt => JWT,
        }
    }
}

/// Returns whether a text may be sent as a bearer token (RFC 6750 §2.1).
pub(super) fn is_token68(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !body.is_empty() && body.bytes().all(is_of_token)
}

pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
pub(super) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// The longest target, in bytes.
const MAX_TARGET: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_8693: ExchangeGrant = ExchangeGrant::TokenExchange;

    fn form(target: &ExchangeTarget, grant: ExchangeGrant) -> Vec<(String, String)> {
        let form = target.form("a.b.c", grant, RequestedTokenType::AccessToken);
        url::form_urlencoded::parse(form.encode().as_bytes()).into_owned().collect()
    }

    #[test]
    fn texts_of_the_caller_stay_in_their_parameters() {
        let target = ExchangeTarget::audience("a&audience=b=c%26 d+e\u{e4}").scopes(["x&y", "a=b"]);
        assert_eq!(target.check(RFC_8693), Ok(()));
        let form = form(&target, RFC_8693);
        let values = |name: &str| -> Vec<&str> {
            let found = form.iter().filter(|(found, _)| found == name);
            found.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(values("audience"), ["a&audience=b=c%26 d+e\u{e4}"]);
        assert_eq!(values("scope"), ["a=b x&y"]);
        assert_eq!(values("subject_token"), ["a.b.c"]);
        assert_eq!(form.len(), 6, "{form:?}");
    }

    #[test]
    fn target_that_is_empty_or_would_ask_for_something_else_is_refused() {
        let audience = ExchangeTarget::audience;
        let resource = ExchangeTarget::resource;
        for target in [
            ExchangeTarget::empty(),
            audience(""),
            audience("a\nb"),
            audience("a\0"),
            audience("a").and_audience(""),
            audience("a").scopes([""]),
            audience("a").scopes(["a b"]),
            audience("a").scopes(["a\"b"]),
            audience("a").scopes(["\u{e4}"]),
            ExchangeTarget::audience("a".repeat(MAX_TARGET + 1)),
            audience("a").actor_token("a b"),
            audience("a").actor_token("=="),
            resource("stock"),
            resource("/stock"),
            resource("https://stock.example/#x"),
            resource("https://stock.example/a b"),
        ] {
            assert!(target.check(RFC_8693).is_err(), "{target:?}");
        }
        for target in [
            audience("https://stock.example/#x"),
            resource("https://stock.example/a?x=1"),
            resource("urn:stock"),
            audience("a").actor_token("a.b.c=="),
        ] {
            assert_eq!(target.check(RFC_8693), Ok(()), "{target:?}");
        }
    }

    #[test]
    fn question_differs_where_the_token_or_any_part_of_the_target_does() {
        let audience = ExchangeTarget::audience;
        let targets = [
            audience("a"),
            audience("b"),
            audience("ab"),
            audience("a").and_audience("b"),
            audience("b").and_audience("a"),
            ExchangeTarget::resource("urn:a"),
            audience("urn:a"),
            audience("a").and_resource("urn:a"),
            audience("a").scopes(["b"]),
            audience("a").scopes(["b", "c"]),
            audience("a").scopes(["b c"]),
            audience("a").actor_token("b"),
        ];
        let ids = targets
            .iter()
            .flat_map(|target| ["x.y.z", "x.y.zz", "", "a"].map(|token| target.call_key(token)));
        let distinct: std::collections::HashSet<CallKey> = ids.collect();
        assert_eq!(distinct.len(), 4 * targets.len());
        let same = audience("a").scopes(["c", "b", "c"]);
        assert_eq!(same.call_key("x"), audience("a").scopes(["b", "c"]).call_key("x"));
    }

    #[test]
    fn entra_gets_scopes_below_the_uri_of_the_service() {
        let entra = ExchangeGrant::OnBehalfOf;
        let scope = |target: ExchangeTarget| {
            assert_eq!(target.check(entra), Ok(()));
            let form = form(&target, entra);
            assert!(form.contains(&("requested_token_use".into(), "on_behalf_of".into())));
            assert!(form.contains(&("assertion".into(), "a.b.c".into())));
            form.into_iter().find(|(name, _)| name == "scope").expect("a scope").1
        };
        let graph = || ExchangeTarget::audience("https://graph.microsoft.com");
        assert_eq!(scope(graph()), "https://graph.microsoft.com/.default");
        assert_eq!(
            scope(graph().scopes(["User.Read", "https://graph.microsoft.com/Mail.Read"])),
            "https://graph.microsoft.com/User.Read https://graph.microsoft.com/Mail.Read"
        );
        for target in [
            graph().and_audience("b"),
            graph().and_resource("https://b.example"),
            graph().actor_token("x"),
            ExchangeTarget::resource("https://graph.microsoft.com"),
            ExchangeTarget::audience("a b"),
        ] {
            assert!(target.check(entra).is_err(), "{target:?}");
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = format!("{:?}", ExchangeTarget::audience("a").actor_token("a-secret"));
        assert!(shown.contains("audiences") && !shown.contains("a-secret"), "{shown}");
    }
}
