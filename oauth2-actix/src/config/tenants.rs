//! Providers that are not known when the middleware is built.

use std::{error::Error, fmt, future::Future, ops::RangeInclusive, sync::Arc, time::Duration};

use crate::{
    config::{
        error::{ConfigError, ConfigErrorKind},
        provider::Provider,
    },
    keys::source::SourceFuture,
};

/// Providers that are not known when the middleware is built, looked up by the issuer of a token:
/// for Microsoft Entra's many tenants, and for services whose customers bring their own providers.
///
/// A token whose `iss` is that of no [provider](crate::OAuth2Builder::provider) known from the start
/// has its issuer looked up by your [`TenantLookup`], if the token could otherwise be valid. Anybody can
/// send a token with any `iss`: what your lookup answers decides whom this API trusts, and which hosts
/// are asked for keys. It must know the issuer, not merely like its form.
///
/// A tenant's provider decides what its tokens claim: any subject, scope and role. Ask for
/// [`Claims::provider`](crate::Claims::provider) too wherever something is not the tenant's own. No tenant
/// can have the name of a provider known from the start.
///
/// | What | Bound |
/// | --- | --- |
/// | answers kept | [`capacity`](Self::capacity), 10,000; the one that was not used for longest goes first, and whatever nobody used for an hour |
/// | how long a tenant serves until it is looked up again | [`lifetime`](Self::lifetime), 10 minutes; in the background from 80 % of it on, if requests come then. Otherwise the next request waits for it |
/// | if that fails | the last answer serves, for at most 24 hours; it is looked up again every 5 s while requests come |
/// | how long an unknown issuer stays so | [`refusal_lifetime`](Self::refusal_lifetime), 1 minute; 4,096 issuers |
/// | how long a failed lookup is not repeated for the same issuer | 5 s; requests get 503 |
/// | lookups at once | 32, of which unknown_issuers get 24; one for each issuer, with [the time limit of a fetch](crate::OAuth2Builder::fetch_timeout), and as long to wait for its turn |
/// | a tenant's key document | 64 keys, 256 KiB |
/// | requests that wait | 1,024 for each tenant and for all unknown_issuers together; the rest get 503 |
/// | length of an issuer | 512 bytes; a longer one is unknown |
///
/// Made-up issuers cost you one lookup each. Where that is dear, look at the form of the issuer first. While
/// unknown_issuers fill all their places, new customers may get 503; known ones do not notice.
///
/// A tenant is the same as before, and keeps its keys, if its name is and its provider is: the same settings,
/// in the same order. Sources of your own ([`Keys::source`](crate::Keys::source)) are the same only as clones of one
/// [`Keys`](crate::Keys): make them once, and clone them.
///
/// Headers and client certificates that [`OAuth2Builder::configure_http_client`](crate::OAuth2Builder::configure_http_client) sets go to
/// the hosts of all tenants.
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
///         // Ask your database here whether this is a customer.
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
    pub(crate) refusal_lifetime: Duration,
}

impl Tenants {
    /// Tenants as this lookup knows them.
    pub fn new(lookup: impl TenantLookup) -> Self {
        Self {
            lookup: Arc::new(lookup),
            capacity: 10_000,
            lifetime: Duration::from_secs(10 * 60),
            refusal_lifetime: Duration::from_secs(60),
        }
    }

    /// Sets how many tenants are kept, with their keys. Default 10,000, at least 1.
    ///
    /// Less than are in use at once: each request of one that was dropped waits for a lookup and for
    /// keys. A tenant with a few keys takes some 10 KiB.
    pub fn capacity(mut self, tenants: usize) -> Self {
        self.capacity = tenants;
        self
    }

    /// Sets for how long a tenant serves until it is looked up again. Default 10 minutes, at least
    /// 1 s, at most 24 hours.
    ///
    /// A customer that you remove keeps access for at most this long. Short: more lookups.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets for how long an issuer that is no tenant stays refused without a lookup. Default 1 minute,
    /// at least 1 s, at most 24 hours.
    ///
    /// A customer that you add may have to wait for this long, if it was there too early. Short: more
    /// lookups for unknown_issuers.
    pub fn refusal_lifetime(mut self, lifetime: Duration) -> Self {
        self.refusal_lifetime = lifetime;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let problem = if self.capacity == 0 {
            "the capacity must be greater than zero"
        } else if !LIFETIMES.contains(&self.lifetime) {
            "the lifetime must be between 1 s and 24 hours"
        } else if !LIFETIMES.contains(&self.refusal_lifetime) {
            "the lifetime of refusals must be between 1 s and 24 hours"
        } else {
            return Ok(());
        };
        Err(ConfigError::of_policy("tenants", problem).of_kind(ConfigErrorKind::OutOfRange))
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tenants")
            .field("capacity", &self.capacity)
            .field("lifetime", &self.lifetime)
            .field("refusal_lifetime", &self.refusal_lifetime)
            .finish_non_exhaustive()
    }
}

/// One tenant: a name and its provider.
///
/// [`Claims::provider`](crate::Claims::provider) tells the name. Several issuers may have one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    pub(crate) name: String,
    pub(crate) provider: Provider,
}

impl Tenant {
    /// A tenant of this name. Among the provider's issuers must be exactly the one that was asked for.
    pub fn new(name: impl Into<String>, provider: Provider) -> Self {
        Self { name: name.into(), provider }
    }
}

/// Finds the tenant of an issuer. See [`Tenants`].
///
/// It runs on the thread that fetches keys, as a [`KeySource`](crate::KeySource) does: it must not block.
pub trait TenantLookup: Send + Sync + 'static {
    /// The tenant whose issuer this is, exactly; `None` if there is none.
    ///
    /// The issuer is a stranger's text, of at most 512 bytes. Never make an address from it that you
    /// have not compared with one you know.
    ///
    /// # Errors
    ///
    /// Whatever keeps the answer from being known. The log shows its text. Not for an unknown issuer.
    fn find_by_issuer(
        &self,
        issuer: &str,
    ) -> impl Future<Output = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>> + Send;
}

/// [`TenantLookup`] as a value of one type.
pub(crate) trait AnyLookup: Send + Sync {
    fn find_by_issuer<'a>(&'a self, issuer: &'a str) -> SourceFuture<'a, LookupResult>;
}

pub(crate) type LookupResult = Result<Option<Tenant>, Box<dyn Error + Send + Sync>>;

impl<L: TenantLookup> AnyLookup for L {
    fn find_by_issuer<'a>(&'a self, issuer: &'a str) -> SourceFuture<'a, LookupResult> {
        Box::pin(TenantLookup::find_by_issuer(self, issuer))
    }
}

const LIFETIMES: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60);
