//! The names of the settings in the serde form. Errors name a setting by the same constants.

macro_rules! names {
    ($($constant:ident = $name:literal,)*) => {
        $(pub(crate) const $constant: &str = $name;)*
    };
}

// Settings of the policy. Some of them are also settings of a provider.
names! {
    PROVIDERS = "providers",
    PUBLIC_PATHS = "public_paths",
    KEY_REFRESH_MINUTES = "key_refresh_minutes",
    LEEWAY_SECONDS = "leeway_seconds",
    REALM = "realm",
    MISSING_TOKEN_STATUS = "missing_token_status",
    ROUTE_BEFORE_REJECTION = "route_before_rejection",
    MAX_TOKEN_LENGTH = "max_token_length",
    MAX_TOKEN_AGE_SECONDS = "max_token_age_seconds",
    TOKEN_CACHE = "token_cache",
    CRYPTO_BACKEND = "crypto_backend",
    TOKEN_FROM_SUBPROTOCOL = "token_from_subprotocol",
    TOKEN_FROM_QUERY = "token_from_query",
    TOKEN_FROM_HEADER = "token_from_header",
    TOKEN_FROM_COOKIE = "token_from_cookie",
    STALE_WINDOW_MINUTES = "stale_window_minutes",
    UNKNOWN_KEY_COOLDOWN_SECONDS = "unknown_key_cooldown_seconds",
    FETCH_TIMEOUT_SECONDS = "fetch_timeout_seconds",
    KEY_SNAPSHOT = "key_snapshot",
    SCOPE_IMPLIES = "scope_implies",
    POLICIES = "policies",
    CHECK_TIMEOUT_SECONDS = "check_timeout_seconds",
    ACCESS_REPORT = "access_report",
    PRINCIPAL_LIFETIME_SECONDS = "principal_lifetime_seconds",
    RESOURCE = "resource",
    DPOP = "dpop",
    FORWARDED_CERTIFICATE = "forwarded_certificate",
    FAPI2 = "fapi2",
    DANGEROUS_WITHOUT_REVOCATION_STATUS = "dangerous_without_revocation_status",
}

// Settings of a provider alone.
names! {
    ISSUER = "issuer",
    AUDIENCE = "audience",
    AUDIENCE_CLAIM = "audience_claim",
    KEYS = "keys",
    INITIAL_KEYS = "initial_keys",
    ALGORITHMS = "algorithms",
    REQUIRE_AT_JWT = "require_at_jwt",
    CLIENTS = "clients",
    SUBJECTS = "subjects",
    REQUIRE = "require",
    SPIFFE_TRUST_DOMAIN = "spiffe_trust_domain",
    CERTIFICATE_BOUND = "certificate_bound",
    DANGEROUS_ALLOW_HTTP = "dangerous_allow_http",
    DANGEROUS_ACCEPT_BOUND_TOKENS = "dangerous_accept_bound_tokens",
}

// Members of `token_cache`, `token_from_cookie`, `resource`, `dpop` and `forwarded_certificate`.
names! {
    MAX_ENTRIES = "max_entries",
    MAX_BYTES = "max_bytes",
    NAME = "name",
    ORIGINS = "origins",
    REQUESTS = "requests",
    IDENTIFIER = "identifier",
    AUTHORIZATION_SERVERS = "authorization_servers",
    SCOPES = "scopes",
    CHALLENGE_SCOPES = "challenge_scopes",
    DOCUMENTATION = "documentation",
    POLICY = "policy",
    TERMS_OF_SERVICE = "terms_of_service",
    MEMBERS = "members",
    BASE_URLS = "base_urls",
    MAX_AGE_SECONDS = "max_age_seconds",
    CLOCK_SKEW_SECONDS = "clock_skew_seconds",
    NONCE_SECRET = "nonce_secret",
    PREVIOUS_NONCE_SECRET = "previous_nonce_secret",
    NONCE_LIFETIME_SECONDS = "nonce_lifetime_seconds",
    FORMAT = "format",
    HEADER = "header",
    FROM_PEERS = "from_peers",
    SECRET_HEADER = "secret_header",
    SECRET = "secret",
}

// Settings as errors name them: a member of a map, and settings in code only.
names! {
    CACHE_ENTRIES = "token_cache.max_entries",
    DPOP_BASE_URLS = "dpop.base_urls",
    DPOP_ALGORITHMS = "dpop.algorithms",
    DPOP_MAX_AGE = "dpop.max_age_seconds",
    DPOP_CLOCK_SKEW = "dpop.clock_skew_seconds",
    DPOP_NONCE_SECRET = "dpop.nonce_secret",
    DPOP_NONCE_LIFETIME = "dpop.nonce_lifetime_seconds",
    DANGEROUS_HTTP_CLIENT = "dangerous_http_client",
    TENANTS = "tenants",
    TENANT_CAPACITY = "tenants.capacity",
    TENANT_LIFETIME = "tenants.lifetime",
    TENANT_REJECTION_LIFETIME = "tenants.rejection_lifetime",
    MCP_TOOL = "mcp.tool",
    MCP_PROMPT = "mcp.prompt",
    MCP_RESOURCE = "mcp.resource",
    MCP_METHOD = "mcp.method",
    MCP_ALLOW_ORIGIN = "mcp.allow_origin",
    MCP_MAX_BODY = "mcp.max_body",
    MCP_SESSION_SECRET = "mcp.session_secret",
}
