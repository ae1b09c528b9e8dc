//! The settings in code for fetching keys.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Client, ClientBuilder};

use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
    },
    http::client::Clients,
    keys::snapshot::SnapshotDirectory,
    provider::Defaults,
    util::log_rate::Warnings,
};

/// The settings for fetching keys and for how long keys are used.
impl OAuth2Builder {
    /// Sets how often keys are refreshed, in minutes, for every provider whose keys are not all inline and
    /// that has no interval of its own. See [`OAuth2Builder::key_refresh`].
    pub fn key_refresh_minutes(self, minutes: u32) -> Self {
        self.key_refresh(Duration::from_secs(60 * u64::from(minutes)))
    }

    /// Sets how often keys are refreshed, for every provider whose keys are not all inline and that has no
    /// interval of its own.
    ///
    /// Keys are refreshed in the background at about 80 % of this interval, or earlier if the provider's
    /// `Cache-Control: max-age` is shorter (no less than 60 s), and at once, while the request waits, when a
    /// token names an unknown key: see [`OAuth2Builder::unknown_key_cooldown`]. If the provider fails, the
    /// cached keys are still used: see [`OAuth2Builder::stale_window`]. Failed attempts are retried after 1
    /// s, 2 s, 4 s and so on up to 60 s, less a random part of up to a fifth.
    ///
    /// With it, the first fetch starts when the policy is built. From 1 s to 365 days. Default: none. Then
    /// the first fetch starts when keys are needed, or by [`OAuth2::is_ready`](crate::OAuth2::is_ready) or
    /// [`OAuth2::warm_up`](crate::OAuth2::warm_up), and its keys stay in use permanently, so that the provider's
    /// next key rotation ends all access until a restart; a warning is logged. 5 to 60 minutes suit most
    /// providers.
    ///
    /// Short: more fetches, and more failed ones. Long: a key that the provider withdraws is accepted for
    /// that long. In both cases the keys of a new rotation are fetched by the first token that needs them.
    ///
    /// [`Duration::ZERO`] makes every request with a plausible token wait for fresh keys. An attacker can
    /// make up plausible tokens, and so determine how often keys are fetched, and can fill the
    /// 1,024 slots of requests that wait: the rest get 503.
    ///
    /// If a provider publishes a new key under an old `kid`, the new key is used only after the next refresh:
    /// a bad signature under a known `kid` causes no fetch, since any client can send one.
    pub fn key_refresh(mut self, interval: Duration) -> Self {
        self.key_refresh = Some(interval);
        self
    }

    /// Sets for how long keys are used after the last successful fetch, when the provider fails.
    ///
    /// Past it, requests get 503 until a fetch succeeds. In serde `stale_window_minutes`. Monotonic time.
    /// Default 24 hours, or twice the refresh interval if that is longer. From the refresh interval to 365
    /// days. Short: an outage of the provider becomes one of the API sooner. Long: a key that the provider
    /// has withdrawn, for example because it was stolen, is accepted for as long as an attacker can keep the
    /// provider from being reached. Without a refresh it has no effect: keys that are fetched once never
    /// become stale.
    pub fn stale_window(mut self, window: Duration) -> Self {
        self.stale_window = Some(window);
        self
    }

    /// Sets the least time between two fetches that tokens with unknown key ids can cause, for each
    /// provider.
    ///
    /// Any client can make up key ids. The time counts from the last such attempt, whether or not it
    /// succeeded, so a new key may go unseen for this long. Its tokens get 503 until then, with the rest of
    /// this time in `Retry-After`. A key id that was searched for before, and was not published by the
    /// provider, gets 401. Such tokens (of withdrawn keys, for example) cause fetches at this rate too, but
    /// do not delay a new key. In serde `unknown_key_cooldown_seconds`. Monotonic time. Default 10 s, from 1
    /// s to 1 hour. Short: a client can make every process send a request to the provider that often. Long: a
    /// rotation without notice may delay genuine tokens for that long.
    pub fn unknown_key_cooldown(mut self, cooldown: Duration) -> Self {
        self.unknown_key_cooldown = Some(cooldown);
        self
    }

    /// Sets the time limit for a whole fetch, from name resolution to the last byte, discovery included; also
    /// for a [`KeySource`](crate::KeySource) and a lookup of [`Tenants`](crate::tenants::Tenants).
    ///
    /// In serde `fetch_timeout_seconds`. Default 5 s, from 100 ms to 60 s. Short: a provider that is slow for
    /// a moment is treated as failed. Long: requests that need a missing key wait for that long before they
    /// get 503, or twice that, if they arrive during a fetch that cannot contain the key.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = Some(timeout);
        self
    }

    /// Saves the keys of each successful fetch in a directory, so that a restart during an outage of the
    /// provider does not need it. In serde `key_snapshot`.
    ///
    /// At startup, the keys of each source are read from its file, and used until a fetch succeeds. Their age
    /// counts against the stale window ([`OAuth2Builder::stale_window`]), even without a refresh: an older
    /// snapshot is not used, nor one whose time is in the future. That fetch starts when the policy is built.
    /// [`OAuth2::key_status`](crate::OAuth2::key_status) reports such keys as
    /// [`KeyState::Snapshot`](crate::status::KeyState::Snapshot).
    ///
    /// The directory is created if it is missing. It has one file for each source that is fetched: URLs,
    /// discovery and custom sources, including those of tenants, but not [`Keys::file`](crate::Keys::file),
    /// nor sources that each request fetches. A file is replaced atomically, has mode 0600, and contains
    /// public keys only. A file that is damaged, of another source, of another user or writable by other
    /// users is not used, and a warning is logged. An attacker who can write files as the API's user decides
    /// which keys are trusted. Files of removed sources and tenants remain until they are deleted.
    ///
    /// Default: none. A key that the provider has withdrawn is accepted after a restart for as long as it
    /// would have been without one.
    ///
    /// ```
    /// # let directory = std::env::temp_dir().join(format!("oauth2-actix-doc-snapshot-{}", std::process::id()));
    /// use oauth2_actix::{OAuth2, Provider};
    ///
    /// let keycloak = Provider::new()
    ///     .issuer("https://sso.example.com/realms/shop")
    ///     .audience("orders")
    ///     .keys("https://sso.example.com/realms/shop/protocol/openid-connect/certs");
    /// let oauth2 = OAuth2::builder()
    ///     .provider("keycloak", keycloak)
    ///     .key_refresh_minutes(30)
    ///     .key_snapshot(&directory) // such as /var/lib/orders/keys
    ///     .build()?;
    /// # std::fs::remove_dir_all(&directory).unwrap();
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `build()` reports a path that is not a directory and cannot become one.
    pub fn key_snapshot(mut self, directory: impl Into<PathBuf>) -> Self {
        self.key_snapshot = Some(directory.into());
        self
    }

    /// Adjusts the HTTP client that discovery documents and keys are fetched with: a private CA, a
    /// proxy, a client certificate, additional headers.
    ///
    /// Without it, the platform's certificates are trusted, and proxies are those of the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`, …). This crate's limits are applied after the closure: redirects are not
    /// followed, and time and length of a response are limited. Plain http to the same host uses no proxy.
    ///
    /// The closure runs up to twice, for requests to this host and to others. Checks that it weakens, for
    /// example by reqwest's `tls_danger_accept_invalid_certs`, stay weakened.
    ///
    /// ```no_run
    /// use oauth2_actix::{Keys, OAuth2, Provider};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let ca = reqwest::Certificate::from_pem(&std::fs::read("/etc/ssl/our-ca.pem")?)?;
    /// let oauth2 = OAuth2::builder()
    ///     .provider(
    ///         "internal",
    ///         Provider::new()
    ///             .issuer("https://sso.internal/realms/shop")
    ///             .audience("orders")
    ///             .keys(Keys::discover()),
    ///     )
    ///     .key_refresh_minutes(30)
    ///     .configure_http_client(move |client| client.tls_certs_merge([ca.clone()]))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn configure_http_client<F>(mut self, adjust: F) -> Self
    where
        F: Fn(ClientBuilder) -> ClientBuilder + Send + Sync + 'static,
    {
        self.adjust_client = Some(Arc::new(adjust));
        self
    }

    /// Fetches discovery documents and keys with exactly this client.
    ///
    /// Dangerous, since its redirect policy cannot be changed: reqwest follows redirects by default, and an
    /// attacker that can make the provider's host redirect then chooses the source of your keys. Set
    /// `redirect::Policy::none()`. Prefer [`OAuth2Builder::configure_http_client`]. The client must not have
    /// been used before: connections are driven by the runtime that opened them.
    pub fn dangerous_http_client(mut self, client: Client) -> Self {
        self.ready_client = Some(client);
        self
    }

    /// Returns the settings of the policy for all providers. `faults` checks their ranges.
    pub(crate) fn defaults(&self, faults: &mut Faults) -> Defaults {
        let clients = match (&self.adjust_client, &self.ready_client) {
            (adjust, None) => Clients::new(adjust.clone()),
            (None, Some(client)) => Clients::ready_made(client.clone()),
            (Some(_), Some(client)) => {
                let problem = "a ready-made client cannot be adjusted by `configure_http_client`: use one of them";
                let error = ConfigError::of_policy(names::DANGEROUS_HTTP_CLIENT, problem);
                faults.push(error.of_kind(ConfigErrorKind::Conflict));
                Clients::ready_made(client.clone())
            }
        };
        let snapshots = self.key_snapshot.as_deref().and_then(|directory| {
            let opened = SnapshotDirectory::open(directory, &self.clock);
            faults.take(
                opened.map_err(|problem| ConfigError::of_policy(names::KEY_SNAPSHOT, problem)),
            )
        });
        Defaults {
            key_refresh: self.key_refresh,
            stale_window: self.stale_window,
            cooldown: self.unknown_key_cooldown.unwrap_or(DEFAULT_COOLDOWN),
            timeout: self.fetch_timeout.unwrap_or(DEFAULT_TIMEOUT),
            clients: Arc::new(clients),
            crypto: self.crypto_backend.unwrap_or_default(),
            clock: self.clock.clone(),
            snapshots,
            resources: self.resources.iter().filter_map(|resource| resource.uri().ok()).collect(),
            rules: Arc::new(self.rules()),
            requirements: self.requirements.clone(),
            fapi2: self.fapi2,
            tenant_warnings: Arc::new(Warnings::new(&self.clock)),
        }
    }
}

const DEFAULT_COOLDOWN: Duration = Duration::from_secs(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
