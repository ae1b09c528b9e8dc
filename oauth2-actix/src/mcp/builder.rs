//! The builder of the rules, and the faults in them.

use std::{fmt, sync::Arc};

use super::{
    access::{Access, Index, Kind, Row, Rules},
    resource::Pattern,
    session::SessionTags,
};
use crate::{
    authorize::requirement::{self, Requirement},
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
    },
    request::token_source::is_origin,
};

/// The builder of [`Access`].
///
/// A rule adds to the requirement on every request, and rules for the same call add up. A tool, prompt or
/// resource without a rule is open to every request that satisfies [`AccessBuilder::require`], unless
/// [`AccessBuilder::deny_unlisted`] is set.
///
/// ```
/// use oauth2_actix::{mcp, requirement};
///
/// let rules: mcp::AccessBuilder = mcp::Access::builder().require(requirement::scopes(["mcp:use"]));
/// let access: mcp::Access = rules.build()?;
/// # drop(access);
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
#[derive(Default)]
#[must_use = "rules do nothing until `build` is called"]
pub struct AccessBuilder {
    required: Vec<Requirement>,
    rows: Vec<Row>,
    denies_unlisted: bool,
    origins: Vec<String>,
    max_body: Option<usize>,
    decides_by_headers: bool,
    session_secret: Option<[u8; 32]>,
}

impl AccessBuilder {
    /// Requires something of every request, whatever it asks for. Default: a valid token. Several requirements
    /// are all required.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access = mcp::Access::builder().require(requirement::scopes(["mcp:use"])).build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn require(mut self, requirement: Requirement) -> Self {
        self.required.push(requirement);
        self
    }

    /// Requires something of calls of a tool: `tools/call`. The name is compared exactly.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access =
    ///     mcp::Access::builder().tool("refund", requirement::scopes(["refunds:write"])).build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn tool(self, name: impl Into<String>, requirement: Requirement) -> Self {
        self.row(Kind::Tool, name.into(), requirement)
    }

    /// Requires something of a prompt: of `prompts/get`, and of `completion/complete` for it. The name is
    /// compared exactly.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access =
    ///     mcp::Access::builder().prompt("summary", requirement::scopes(["orders:read"])).build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn prompt(self, name: impl Into<String>, requirement: Requirement) -> Self {
        self.row(Kind::Prompt, name.into(), requirement)
    }

    /// Requires something of a resource, or of all resources below one.
    ///
    /// `uri` is an absolute URI such as `orders://refunds/latest`, or one that ends with `/*` or `:*`, such as
    /// `orders://refunds/*`, which is for `orders://refunds` and all URIs that begin with `orders://refunds/`.
    /// All rules that fit a URI apply.
    ///
    /// URIs are compared without regard to letter case, query, fragment and a slash at the end, since the
    /// server may take such URIs for one resource. As soon as there is a rule for a resource, a request is
    /// refused with 400 if its URI has a dot segment, an empty segment, a user, or an escape of an unreserved
    /// character, a slash or a percent sign
    /// ([RFC 3986 §6.2.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2)). A server that maps other URIs
    /// to the same resource needs a check of its own.
    ///
    /// The rule is for `resources/read`, `resources/subscribe`, `resources/unsubscribe`,
    /// `resources/directory/read`, `skills/get`, the resources of `subscriptions/listen`, and for
    /// `completion/complete` with a template that may mean the resource.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access = mcp::Access::builder()
    ///     .resource("orders://refunds/*", requirement::scopes(["refunds:read"]))
    ///     .build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn resource(self, uri: impl Into<String>, requirement: Requirement) -> Self {
        self.row(Kind::Resource, uri.into(), requirement)
    }

    /// Requires something of every message with a JSON-RPC method, in addition to the rule for what it names.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access = mcp::Access::builder()
    ///     .method("logging/setLevel", requirement::scopes(["ops"]))
    ///     .build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn method(self, name: impl Into<String>, requirement: Requirement) -> Self {
        self.row(Kind::Method, name.into(), requirement)
    }

    /// Denies tools, prompts and resources that have no rule, with 403. Default: the requirement on every
    /// request is enough for them. Lists, such as `tools/list`, are not affected, nor are tasks, which have ids: a rule on
    /// the [method](Self::method) `tasks/get` protects their results.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access = mcp::Access::builder()
    ///     .tool("search", requirement::scopes(["orders:read"]))
    ///     .deny_unlisted()
    ///     .build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn deny_unlisted(mut self) -> Self {
        self.denies_unlisted = true;
        self
    }

    /// Allows requests of pages of this origin, as browsers write it in `Origin`: scheme, host, and the port if
    /// it is not the scheme's default. Default: that of each [`resource`](crate::OAuth2Builder::resource) of the
    /// policy alone. A request with another `Origin` is rejected with 403
    /// (MCP 2026-07-28, Streamable HTTP, Security). Requests without an `Origin` are not affected.
    ///
    /// ```
    /// use oauth2_actix::mcp;
    ///
    /// let access = mcp::Access::builder().allow_origin("http://localhost:6274").build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Sets the maximum length of a body, in bytes: 1 to 67,108,864. Default: 1,048,576. A longer one is refused
    /// with 413. Each concurrent request has its body in memory, and while it is read the names of the members of
    /// one object, which can take several times as much. The body is read before the rules are checked.
    ///
    /// ```
    /// use oauth2_actix::mcp;
    ///
    /// let access = mcp::Access::builder().max_body(64 * 1024).build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Decides by `Mcp-Method` and `Mcp-Name`, without reading the body, where the request declares revision
    /// 2026-07-28 or later and the headers name all that a rule depends on. Default: off. Any other request is
    /// decided by its body.
    ///
    /// **Only for a server that compares these headers with the body**, as revision 2026-07-28 requires of it
    /// (Streamable HTTP, Server Validation): `rmcp` does so since 3.11. With a server that does not, a client can
    /// name a harmless tool in the header and call another one in the body. Such a body is also not limited by
    /// [`AccessBuilder::max_body`].
    ///
    /// ```
    /// use oauth2_actix::mcp;
    ///
    /// let access = mcp::Access::builder().decide_by_headers().build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn decide_by_headers(mut self) -> Self {
        self.decides_by_headers = true;
        self
    }

    /// Sets the secret that binds session ids to their caller, for a server of several processes. Default: random
    /// bytes of each build, so that a session is known only to the process that began it, and ends with it.
    ///
    /// ```no_run
    /// use oauth2_actix::mcp;
    ///
    /// # fn secret() -> [u8; 32] { [7; 32] }
    /// let access = mcp::Access::builder().session_secret(secret()).build()?;
    /// # drop(access);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    pub fn session_secret(mut self, secret: [u8; 32]) -> Self {
        self.session_secret = Some(secret);
        self
    }

    /// Checks the rules and settings.
    ///
    /// # Errors
    ///
    /// All faults together: an empty name, two rules of one name, a resource that is no URI in its normal form, an
    /// origin that no browser sends, a limit out of range, a secret of equal bytes. Faults have fields such as
    /// `mcp.tool`.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let error = mcp::Access::builder()
    ///     .tool("", requirement::scopes(["refunds:write"]))
    ///     .allow_origin("https://app.example.com/")
    ///     .build()
    ///     .unwrap_err();
    /// let fields: Vec<_> = error.faults().map(|fault| fault.field()).collect();
    /// assert_eq!(fields, ["mcp.tool", "mcp.allow_origin"]);
    /// ```
    pub fn build(mut self) -> Result<Access, ConfigError> {
        let mut faults = self.row_faults();
        for origin in &self.origins {
            if !is_origin(origin) {
                let problem = format!(
                    "{origin:?} is not an origin as browsers send it; expected scheme, host and port, such as \
                     https://app.example.com, without a wildcard or a trailing dot"
                );
                faults.push(ConfigError::of_policy(names::MCP_ALLOW_ORIGIN, problem));
            }
        }
        let max_body = self.max_body.unwrap_or(DEFAULT_MAX_BODY);
        if !(1..=MOST_MAX_BODY).contains(&max_body) {
            let problem =
                format!("{max_body} is out of range; expected 1 to {MOST_MAX_BODY} bytes");
            let fault = ConfigError::of_policy(names::MCP_MAX_BODY, problem);
            faults.push(fault.of_kind(ConfigErrorKind::OutOfRange));
        }
        let tags = match self.session_secret {
            Some(secret) if secret.iter().all(|byte| *byte == secret[0]) => {
                let problem = "all bytes are equal; expected 32 random bytes";
                faults.push(ConfigError::of_policy(names::MCP_SESSION_SECRET, problem));
                None
            }
            Some(secret) => Some(SessionTags::with_secret(&secret)),
            None => {
                let tags = SessionTags::random();
                if tags.is_none() {
                    let problem = "the system has no random bytes; expected a source of them";
                    let fault = ConfigError::of_policy(names::MCP_SESSION_SECRET, problem);
                    faults.push(fault.of_kind(ConfigErrorKind::System));
                }
                tags
            }
        };
        faults.into_result()?;
        self.rows.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
        let default = match self.required.len() {
            0 => None,
            1 => self.required.pop(),
            _ => Some(requirement::all(self.required)),
        };
        let index = Index::of(&self.rows);
        // A missing value was a fault.
        let tags =
            tags.ok_or_else(|| ConfigError::of_policy(names::MCP_SESSION_SECRET, "missing"))?;
        Ok(Access(Arc::new(Rules {
            default,
            rows: self.rows,
            denies_unlisted: self.denies_unlisted,
            origins: self.origins,
            max_body,
            decides_by_headers: self.decides_by_headers,
            tags,
            index,
        })))
    }

    fn row(mut self, kind: Kind, name: String, requirement: Requirement) -> Self {
        self.rows.push(Row { kind, name, requirement });
        self
    }

    fn row_faults(&self) -> Faults {
        let mut faults = Faults::default();
        for (at, row) in self.rows.iter().enumerate() {
            let field = match row.kind {
                Kind::Method => names::MCP_METHOD,
                Kind::Prompt => names::MCP_PROMPT,
                Kind::Resource => names::MCP_RESOURCE,
                Kind::Tool => names::MCP_TOOL,
            };
            let mut fault = |kind, problem: String| {
                faults.push(ConfigError::of_policy(field, problem).of_kind(kind));
            };
            let is_same = |other: &Row| {
                other.kind == row.kind
                    && match row.kind {
                        Kind::Resource => other.name.eq_ignore_ascii_case(&row.name),
                        _ => other.name == row.name,
                    }
            };
            if row.name.is_empty() {
                fault(ConfigErrorKind::Empty, "the name must not be empty".to_owned());
            } else if self.rows[..at].iter().any(is_same) {
                let problem = format!("{:?} has two rules; expected one", row.name);
                fault(ConfigErrorKind::Duplicate, problem);
            } else if row.kind == Kind::Resource
                && let Err(expected) = Pattern::parse(&row.name)
            {
                let problem = format!("{:?} cannot be used; expected {expected}", row.name);
                fault(ConfigErrorKind::Invalid, problem);
            }
        }
        faults
    }
}

/// Shows no secret.
impl fmt::Debug for AccessBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AccessBuilder")
            .field("required", &self.required)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

const DEFAULT_MAX_BODY: usize = 1024 * 1024;
const MOST_MAX_BODY: usize = 64 * 1024 * 1024;
