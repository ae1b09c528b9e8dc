//! The access rule of a handler: everything that the attributes on it require, checked as one requirement.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::HttpRequest;
use futures_util::future::LocalBoxFuture;
use linkme::distributed_slice;

use crate::{
    authorize::requirement::{self, Requirement},
    error::Error,
    token::{claims::Claims, rules::Rules},
};

/// The access rule of a handler.
pub struct AccessRule {
    /// None if any valid token is enough, or only functions decide.
    requirement: LazyLock<Option<Requirement>>,
    /// The names of the policies in the requirement.
    policies: fn() -> &'static [&'static str],
    /// The paths of the functions, as the developer wrote them.
    functions: &'static [&'static str],
    /// Whether a token has satisfied the rule since the start of the program.
    was_satisfied: AtomicBool,
}

impl AccessRule {
    /// Creates the rule of a handler.
    #[must_use]
    pub const fn new(
        requirement: fn() -> Option<Requirement>,
        policies: fn() -> &'static [&'static str],
        functions: &'static [&'static str],
    ) -> Self {
        Self {
            requirement: LazyLock::new(requirement),
            policies,
            functions,
            was_satisfied: AtomicBool::new(false),
        }
    }

    /// Checks the part of the rule that is a requirement. The functions are called afterwards.
    pub fn check(&self, claims: &Claims) -> Result<(), Error> {
        match &*self.requirement {
            Some(requirement) => requirement.check(claims),
            None => Ok(()),
        }
    }

    /// Records that a token has satisfied the rule. Written only once, so that workers do not contend for the
    /// cache line.
    pub(crate) fn record_satisfied(&self) {
        if !self.was_satisfied.load(Ordering::Relaxed) {
            self.was_satisfied.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn was_satisfied(&self) -> bool {
        self.was_satisfied.load(Ordering::Relaxed)
    }

    pub(crate) fn requirement(&self) -> Option<&Requirement> {
        self.requirement.as_ref()
    }

    /// Returns whether any valid token satisfies the rule.
    #[cfg(feature = "utoipa")]
    pub(crate) fn is_any_token(&self) -> bool {
        self.requirement.is_none() && self.functions.is_empty()
    }

    pub(crate) fn policies(&self) -> &'static [&'static str] {
        (self.policies)()
    }

    /// Describes the parts of the rule, all of which are required, in a stable text. With the rules of an
    /// `OAuth2`, a policy is described by its name and meaning.
    pub(crate) fn parts(&self, rules: Option<&Rules>) -> Vec<String> {
        let mut parts = Vec::new();
        if let Some(requirement) = &*self.requirement {
            requirement.describe_parts(rules, &mut parts);
        }
        parts.extend(self.functions.iter().map(|function| format!("predicate {function}")));
        if parts.is_empty() {
            parts.push("authenticated".to_owned());
        }
        parts
    }

    /// Returns the scopes that a token for the route needs, separated by spaces. None if it needs none.
    pub(crate) fn challenged_scopes(&self, rules: &Rules) -> Option<String> {
        self.requirement.as_ref().and_then(|requirement| requirement.challenged_scopes(rules))
    }
}

impl fmt::Debug for AccessRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("AccessRule").field(&self.parts(None)).finish()
    }
}

/// Combines the requirements of the attributes on a handler. None if there are none.
#[must_use]
pub fn requirements<const N: usize>(requirements: [Requirement; N]) -> Option<Requirement> {
    match N {
        0 => None,
        1 => requirements.into_iter().next(),
        _ => Some(requirement::all(requirements)),
    }
}

/// The check that the attributes on a handler make.
pub trait Check {
    /// Returns the rule.
    fn rule() -> &'static AccessRule;

    /// Returns an error if the request is rejected, and adds the checks that must be waited for.
    fn check(
        claims: &Claims,
        request: &HttpRequest,
        pending: &mut PendingChecks,
    ) -> Result<(), Error>;
}

/// The asynchronous checks of a request, in the order of the attributes.
pub type PendingChecks = Vec<LocalBoxFuture<'static, Result<(), Error>>>;

/// A handler with an access rule, and one of its routes.
pub struct RuledRouteRow {
    pub(crate) methods: &'static [&'static str],
    pub(crate) pattern: Option<&'static str>,
    pub(crate) handler: &'static str,
    pub(crate) name: &'static str,
    pub(crate) rule: fn() -> &'static AccessRule,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

impl RuledRouteRow {
    /// Creates a row of the table.
    #[must_use]
    pub const fn new(
        methods: &'static [&'static str],
        pattern: Option<&'static str>,
        handler: &'static str,
        name: &'static str,
        rule: fn() -> &'static AccessRule,
        file: &'static str,
        line: u32,
    ) -> Self {
        Self { methods, pattern, handler, name, rule, file, line }
    }
}

impl fmt::Debug for RuledRouteRow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?} {}", self.methods.join(","), self.pattern, self.handler)
    }
}

/// Every handler with an access rule other than `#[public]` adds its routes here when the program is linked.
#[distributed_slice]
pub static RULED_ROUTES: [RuledRouteRow];
