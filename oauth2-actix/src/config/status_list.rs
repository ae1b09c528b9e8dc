//! The settings for status lists.

use std::time::Duration;

use url::Url;

use crate::config::{
    error::{ConfigError, ConfigErrorKind, Faults},
    limits::{STATUS_LIST_BYTES, STATUS_LIST_MAX_AGE},
    names,
    provider::Provider,
};

/// Looks tokens up in the lists with which their issuer revokes them before they expire: Token Status List
/// ([draft-ietf-oauth-status-list-21](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list-21)). See
/// [`Provider::status_list`](crate::Provider::status_list).
///
/// ```
/// use std::time::Duration;
/// use oauth2_actix::status_list::StatusList;
///
/// let lists = StatusList::hosts(["status.example.com"])
///     .required(true)
///     .max_age(Duration::from_secs(60));
/// # drop(lists);
/// ```
///
/// In serde `status_list`: a map of `hosts`, `required`, `max_age_seconds` and `max_bytes`.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "it has no effect until it is passed to a provider"]
pub struct StatusList {
    pub(crate) hosts: Vec<String>,
    pub(crate) required: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_bytes: Option<usize>,
}

impl StatusList {
    /// Allows lists at these hosts, each with its port unless that is 443. A token contains the URI of its list, and no
    /// other host is called. In lower case, such as `status.example.com` or `status.example.com:8443`; at least one. In
    /// serde `hosts`.
    ///
    /// ```
    /// use oauth2_actix::status_list::StatusList;
    ///
    /// let lists = StatusList::hosts(["status.example.com", "status.example.org:8443"]);
    /// # drop(lists);
    /// ```
    pub fn hosts<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Self {
        Self { hosts: hosts.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Rejects a token that references no list. Default false: its status is not checked. In serde `required`.
    ///
    /// ```
    /// use oauth2_actix::status_list::StatusList;
    ///
    /// let lists = StatusList::hosts(["status.example.com"]).required(true);
    /// # drop(lists);
    /// ```
    pub fn required(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// Sets the longest time for which a list is used: a revoked token is accepted for up to as long. Default 300 s; from
    /// 1 s to 24 hours. A list whose own `ttl` or `exp` is shorter is used for that time, but at least for 1 s. In
    /// serde `max_age_seconds`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use oauth2_actix::status_list::StatusList;
    ///
    /// let lists = StatusList::hosts(["status.example.com"]).max_age(Duration::from_secs(60));
    /// # drop(lists);
    /// ```
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the most bytes of a list in memory. Default 1 MiB, which is room for 8,388,608 tokens with a status of one
    /// bit; from 1 KiB to 64 MiB. A larger list is not used, and its tokens get 503. A provider has at most 64 lists at
    /// once. In serde `max_bytes`.
    ///
    /// ```
    /// use oauth2_actix::status_list::StatusList;
    ///
    /// let lists = StatusList::hosts(["status.example.com"]).max_bytes(4 * 1024 * 1024);
    /// # drop(lists);
    /// ```
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    pub(crate) fn faults(&self, provider: Option<&str>) -> Faults {
        let mut faults = Faults::default();
        let fault = |kind, problem: String| {
            ConfigError::new(provider, names::STATUS_LIST_HOSTS, problem).of_kind(kind)
        };
        if self.hosts.is_empty() {
            let problem = "it is empty; expected at least one host from which lists may be fetched"
                .to_owned();
            faults.push(fault(ConfigErrorKind::Missing, problem));
        }
        for (index, host) in self.hosts.iter().enumerate() {
            if !is_host(host) {
                let problem = format!(
                    "{host:?} is not a host in lower case; expected one such as \"status.example.com\" or \
                     \"status.example.com:8443\", without scheme and path"
                );
                faults.push(fault(ConfigErrorKind::Invalid, problem));
            }
            if self.hosts[..index].contains(host) {
                faults.push(fault(
                    ConfigErrorKind::Duplicate,
                    format!("{host:?} is listed twice; expected it once"),
                ));
            }
        }
        faults.take(STATUS_LIST_MAX_AGE.check_if_set(provider, self.max_age));
        faults.take(STATUS_LIST_BYTES.check_if_set(provider, self.max_bytes));
        faults
    }
}

impl Provider {
    /// Looks tokens of this provider up in the lists with which it revokes them before they expire
    /// ([draft-ietf-oauth-status-list-21](https://datatracker.ietf.org/doc/html/draft-ietf-oauth-status-list-21)). In
    /// serde `status_list`: a map of `hosts`, `required`, `max_age_seconds` and `max_bytes`. Default: none, and a claim
    /// `status` is ignored: a token that its issuer has revoked is accepted until it expires.
    ///
    /// ```
    /// use oauth2_actix::{Provider, status_list::StatusList};
    ///
    /// let provider = Provider::new()
    ///     .issuer("https://login.example.com")
    ///     .audience("orders")
    ///     .keys("https://login.example.com/jwks.json")
    ///     .status_list(StatusList::hosts(["login.example.com"]));
    /// # drop(provider);
    /// ```
    ///
    /// A token contains the URI of its list and its index in `status.status_list`. After all other checks, a token whose
    /// status is not 0 gets 401 `invalid_token`, even if it is cached, and its sessions and streams end. A list is a JWT
    /// that a key of the provider has signed, and is used for its `ttl`, until its `exp` and for
    /// [`max_age`](StatusList::max_age), whatever is shortest. It is fetched again before that, in the background. If
    /// no list can be used, requests get 503.
    ///
    /// # Errors
    ///
    /// `build()` fails without a host, for a value that is not a host, for numbers out of their range, and without
    /// [`keys`](Self::keys). A tenant that is looked up cannot have status lists.
    pub fn status_list(mut self, lists: StatusList) -> Self {
        self.status_list = Some(lists);
        self
    }

    pub(super) fn status_list_faults(&self, name: Option<&str>) -> Faults {
        let Some(lists) = &self.status_list else { return Faults::default() };
        let mut faults = lists.faults(name);
        if self.keys.is_empty() && self.introspection.is_some() {
            let problem = "the provider has no `keys` to verify lists, and its tokens are introspected; expected `keys`, or no `status_list`";
            let error = ConfigError::new(name, names::STATUS_LIST, problem);
            faults.push(error.of_kind(ConfigErrorKind::Conflict));
        }
        faults
    }
}

/// Returns whether a string is a host in the form of URLs, with a port that is not the default one of https.
fn is_host(text: &str) -> bool {
    Url::parse(&format!("https://{text}/")).is_ok_and(|url| authority(&url) == text)
}

/// Returns the host of a URL, with its port if the URL has one that is not the default.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_is_one_as_urls_have_it() {
        for host in ["status.example.com", "status.example.com:8443", "127.0.0.1:8080", "[::1]:80"]
        {
            assert!(is_host(host), "{host}");
        }
        for text in [
            "",
            "Status.example.com",
            "status.example.com:443",
            "status.example.com/",
            "status.example.com/lists",
            "https://status.example.com",
            "ann@status.example.com",
            "status.example.com?x",
            "status.example.com#x",
            "*.example.com?",
            "127.1",
            "a b",
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}
