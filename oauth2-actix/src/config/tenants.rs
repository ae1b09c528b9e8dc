//! Providers that are looked up by issuer while the service runs.

use std::{error::Error, fmt, future::Future, sync::Arc, time::Duration};

use crate::{
    config::{
        error::ConfigError,
        limits::{TENANT_CAPACITY, TENANT_LIFETIME, TENANT_REJECTION_LIFETIME},
        provider::Provider,
    },
    keys::source::SourceFuture,
};

/// Providers that are looked up by the issuer of a token: for Microsoft Entra's many tenants, and for
/// services whose customers have their own providers.
///
/// If no [configured provider](crate::OAuth2Builder::provider) has a token's `iss`, your [`TenantLookup`]
/// looks up the issuer, unless the token is invalid for another reason. Any client can send a token with any
/// `iss`. The result of the lookup decides which issuers this API trusts, and from which hosts it fetches
/// keys. The lookup must return only issuers that it has on record, and not accept an issuer by its form.
///
/// A tenant's provider controls the claims of its tokens: it can set any subject, scope and role. Where a
/// resource does not belong to the tenant alone, check [`Claims::provider`](crate::Claims::provider) too. A
/// tenant cannot have the name of a configured provider.
///
/// | What | Bound |
/// | --- | --- |
/// | cached lookup results | [`capacity`](Self::capacity), 10,000; the least recently used result is evicted first; a result that is unused for an hour is removed |
/// | time until a tenant is looked up again | [`lifetime`](Self::lifetime), 10 minutes; after 80 % of it, a request causes a lookup in the background. After all of it, a request waits for the lookup |
/// | if that lookup fails | the last result is used for at most 24 hours; requests cause a retry every 5 s |
/// | time for which an unknown issuer is cached | [`rejection_lifetime`](Self::rejection_lifetime), 1 minute; 4,096 issuers |
/// | time until a failed lookup is retried for the same issuer | 5 s; requests get 503 |
/// | concurrent lookups | 32, of which at most 24 for unknown issuers; one for each issuer. A lookup has [the time limit of a fetch](crate::OAuth2Builder::fetch_timeout), and may wait as long to begin |
/// | a tenant's key document | 64 keys, 256 KiB |
/// | waiting requests | 1,024 for each tenant, and for all unknown issuers together; the others get 503 |
/// | length of an issuer | 512 bytes; a longer issuer is unknown |
///
/// Each made-up issuer costs one lookup. If a lookup is expensive, check the form of the issuer first. While
/// unknown issuers use their whole share, new customers may get 503; known tenants are not affected.
///
/// A tenant keeps its keys after a lookup if its name and its provider are equal: the same settings, in the
/// same order. Your own sources ([`Keys::source`](crate::Keys::source)) are equal only if they are clones of
/// one [`Keys`](crate::Keys): create them once, and clone them.
///
/// Headers and client certificates that
/// [`OAuth2Builder::configure_http_client`](crate::OAuth2Builder::configure_http_client) sets are sent to the
/// hosts of all tenants.
///
/// ```
/// use std::error::Error;
/// use oauth2_actix::{Keys, OAuth2, Provider, tenants::{Tenant, TenantLookup, Tenants}};
///
/// struct Customers;
///
/// impl TenantLookup for Customers {
///     async fn find_by_issuer(&self, issuer: &str) -> Result<Option<Tenant>, Box<dyn Error + Send + Sync>> {
///         let Some(tenant_id) = issuer
///             .strip_prefix("https://login.microsoftonline.com/")
///             .and_then(|rest| rest.strip_suffix("/v2.0"))
///         else {
///             return Ok(None);
///         };
///         // Look up the customer in your database here.
///         if tenant_id != "9122040d-6c67-4c5b-b112-36a304b66dad" {
///             return Ok(None);
///         }
///         let provider = Provider::new()
///             .issuer(issuer)
///             .audience("our-client-id")
///             .keys(format!("https://login.microsoftonline.com/{tenant_id}/discovery/v2.0/keys"));
///         Ok(Some(Tenant::new(tenant_id, provider)))
///     }
/// }
///
/// let oauth2 = OAuth2::builder().tenants(Tenants::new(Customers)).key_refresh_minutes(60).build()?;
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "tenants do nothing until they are given to a builder"]
pub struct Tenants {
    pub(crate) lookup: Arc<dyn AnyLookup>,
    pub(crate) capacity: usize,
    pub(crate) lifetime: Duration,
    pub(crate) rejection_lifetime: Duration,
}

impl Tenants {
    /// Creates the setting with this lookup.
    pub fn new(lookup: impl TenantLookup) -> Self {
        Self {
            lookup: Arc::new(lookup),
            capacity: 10_000,
            lifetime: Duration::from_secs(10 * 60),
            rejection_lifetime: Duration::from_secs(60),
        }
    }

    /// Sets how many tenants are cached, with their keys. Default 10,000, at least 1.
    ///
    /// If more tenants are in use at the same time, each request of an evicted tenant waits for a lookup and
    /// for keys. A tenant with a few keys takes about 10 KiB.
    pub fn capacity(mut self, tenants: usize) -> Self {
        self.capacity = tenants;
        self
    }

    /// Sets how long a tenant is used until it is looked up again. Default 10 minutes, at least 1 s, at most
    /// 24 hours.
    ///
    /// A removed customer keeps access for at most this long, or for up to 24 hours while lookups fail. A shorter time causes more lookups.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how long an unknown issuer is rejected without another lookup. Default 1 minute, at least 1 s, at
    /// most 24 hours.
    ///
    /// A customer that you add may have to wait for this long, if it sent a token before. A shorter time
    /// causes more lookups for unknown issuers.
    pub fn rejection_lifetime(mut self, lifetime: Duration) -> Self {
        self.rejection_lifetime = lifetime;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        TENANT_CAPACITY.check(None, self.capacity)?;
        TENANT_LIFETIME.check(None, self.lifetime)?;
        TENANT_REJECTION_LIFETIME.check(None, self.rejection_lifetime)
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tenants")
            .field("capacity", &self.capacity)
            .field("lifetime", &self.lifetime)
            .field("rejection_lifetime", &self.rejection_lifetime)
            .finish_non_exhaustive()
    }
}

/// One tenant: a name and its provider.
///
/// [`Claims::provider`](crate::Claims::provider) returns the name. Several issuers may have one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub(crate) name: String,
    pub(crate) provider: Provider,
}

impl Tenant {
    /// Creates a tenant with this name. The provider's issuers must contain exactly the issuer that is looked
    /// up.
    pub fn new(name: impl Into<String>, provider: Provider) -> Self {
        Self { name: name.into(), provider }
    }
}

/// Finds the tenant of an issuer. See [`Tenants`].
///
/// It runs on the thread that fetches keys, like a [`KeySource`](crate::KeySource), so it must not block.
pub trait TenantLookup: Send + Sync + 'static {
    /// Returns the tenant with exactly this issuer, or `None` for an unknown issuer.
    ///
    /// The issuer is untrusted text of at most 512 bytes. Compare it with issuers on record before you build
    /// a URL from it.
    ///
    /// # Errors
    ///
    /// Any error that prevents the lookup. The log shows its text. An unknown issuer is not an error.
    fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> impl Future<Output = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>> + Send;
}

/// The object-safe form of [`TenantLookup`].
pub(crate) trait AnyLookup: Send + Sync {
    fn find_by_issuer<'a>(&'a self, issuer: &'a str) -> SourceFuture<'a, LookupResult>;
}

pub(crate) type LookupResult = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>;

impl<L: TenantLookup> AnyLookup for L {
    fn find_by_issuer<'a>(&'a self, issuer: &'a str) -> SourceFuture<'a, LookupResult> {
        Box::pin(TenantLookup::find_by_issuer(self, issuer))
    }
}
