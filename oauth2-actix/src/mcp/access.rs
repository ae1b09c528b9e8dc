//! The rules of an endpoint, and the decision on the calls of one request.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    builder::AccessBuilder,
    operation::{Call, Target},
    refusal::Refusal,
    resource::{self, Pattern},
    session::SessionTags,
};
use crate::{
    authorize::requirement::{self, Requirement},
    error::Error,
    token::{claims::Claims, rules},
};

/// What an MCP endpoint requires of tokens: of every request, and of single tools, prompts, resources and
/// methods. It wraps the endpoint like any middleware, inside [`OAuth2`](crate::OAuth2).
///
/// [`mcp`](crate::mcp) says what it checks, and has an example. `Display` writes the rules, one on each line, in
/// a stable order: for a snapshot in a test.
///
/// ```
/// use oauth2_actix::{mcp, requirement};
///
/// let access = mcp::Access::builder()
///     .require(requirement::scopes(["mcp:use"]))
///     .tool("refund", requirement::scopes(["refunds:write"]))
///     .resource("orders://refunds/*", requirement::scopes(["refunds:read"]))
///     .build()?;
/// let expected = "\
/// every request: scope mcp:use
/// resource orders://refunds/*: scope refunds:read
/// tool refund: scope refunds:write
/// ";
/// assert_eq!(access.to_string(), expected);
/// # Ok::<(), oauth2_actix::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "access rules do nothing until they wrap a service"]
pub struct Access(pub(super) Arc<Rules>);

/// The rules and settings of an endpoint.
#[derive(Debug)]
pub(super) struct Rules {
    /// What every request must satisfy.
    pub(super) default: Option<Requirement>,
    /// Sorted by kind and name.
    pub(super) rows: Vec<Row>,
    pub(super) denies_unlisted: bool,
    pub(super) origins: Vec<String>,
    pub(super) max_body: usize,
    pub(super) decides_by_headers: bool,
    pub(super) tags: SessionTags,
    pub(super) index: Index,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) requirement: Requirement,
}

/// What a rule is for. The order is that of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Method,
    Prompt,
    Resource,
    Tool,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Tool => "tool",
        }
    }
}

/// Where the rows of names are.
#[derive(Debug, Default)]
pub(super) struct Index {
    methods: HashMap<String, usize>,
    prompts: HashMap<String, usize>,
    tools: HashMap<String, usize>,
    resources: Vec<(Pattern, usize)>,
}

impl Index {
    /// Creates it. Names of resources that are no patterns are left out: they are faults of the builder.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut index = Self::default();
        for (at, row) in rows.iter().enumerate() {
            let names = match row.kind {
                Kind::Method => &mut index.methods,
                Kind::Prompt => &mut index.prompts,
                Kind::Tool => &mut index.tools,
                Kind::Resource => {
                    index.resources.extend(Pattern::parse(&row.name).ok().map(|it| (it, at)));
                    continue;
                }
            };
            names.insert(row.name.clone(), at);
        }
        index
    }
}

impl Access {
    /// Starts the rules of an endpoint. Without rules, it accepts every valid token.
    pub fn builder() -> AccessBuilder {
        AccessBuilder::default()
    }

    /// Returns all scopes that the rules name, sorted: for lists of the scopes that an API uses. Those of
    /// [named policies](crate::OAuth2Builder::policy) are not among them.
    ///
    /// ```
    /// use oauth2_actix::{mcp, requirement};
    ///
    /// let access = mcp::Access::builder()
    ///     .require(requirement::scopes(["mcp:use"]))
    ///     .tool("refund", requirement::any_scope(["refunds:write", "admin"]))
    ///     .build()?;
    /// assert_eq!(access.scopes(), ["admin", "mcp:use", "refunds:write"]);
    /// # Ok::<(), oauth2_actix::ConfigError>(())
    /// ```
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        let no_policies = rules::Rules::default();
        let requirements = self.0.rows.iter().map(|row| &row.requirement).chain(&self.0.default);
        let mut scopes: Vec<String> =
            requirements.flat_map(|requirement| requirement.named_scopes(&no_policies)).collect();
        scopes.sort();
        scopes.dedup();
        scopes
    }
}

impl Rules {
    /// Checks that a token permits these calls. The error of a token that does not names what all of them
    /// require.
    pub(super) fn check(
        &self,
        calls: &[Call<'_>],
        claims: &Claims,
    ) -> Result<Result<(), Error>, Refusal> {
        let mut rows = Vec::new();
        let mut is_unlisted = false;
        for call in calls {
            rows.extend(self.index.methods.get(&*call.method));
            for target in &call.targets {
                let before = rows.len();
                self.find(target, &mut rows)?;
                is_unlisted |= rows.len() == before;
            }
        }
        rows.sort_unstable();
        rows.dedup();
        let denied = (is_unlisted && self.denies_unlisted).then(no_rule);
        let required: Vec<&Requirement> = self
            .default
            .iter()
            .chain(rows.into_iter().map(|row| &self.rows[row].requirement))
            .chain(&denied)
            .collect();
        Ok(match required.as_slice() {
            [] => Ok(()),
            [one] => one.check(claims),
            all if all.iter().all(|requirement| requirement.is_met(claims)) => Ok(()),
            all => requirement::all(all.iter().copied().cloned()).check(claims),
        })
    }

    /// Adds the rows for a target.
    fn find(&self, target: &Target<'_>, rows: &mut Vec<usize>) -> Result<(), Refusal> {
        match target {
            Target::Tool(name) => rows.extend(self.index.tools.get(&**name)),
            Target::Prompt(name) => rows.extend(self.index.prompts.get(&**name)),
            Target::Named(name) => {
                rows.extend(self.index.tools.get(&**name));
                rows.extend(self.index.prompts.get(&**name));
            }
            Target::Resource(uri) => {
                if !self.index.resources.is_empty() && !resource::is_plain(uri) {
                    return Err(AMBIGUOUS_URI);
                }
                let resources = self.index.resources.iter();
                rows.extend(resources.filter(|(it, _)| it.matches(uri)).map(|(_, row)| row));
            }
            Target::Template(template) => {
                let start = resource::literal_start(template);
                if !self.index.resources.is_empty()
                    && !start.is_empty()
                    && !resource::is_plain(start)
                {
                    return Err(AMBIGUOUS_URI);
                }
                let resources = self.index.resources.iter();
                rows.extend(resources.filter(|(it, _)| it.overlaps(start)).map(|(_, row)| row));
            }
        }
        Ok(())
    }
}

/// Returns the requirement of what has no rule, where that is denied.
fn no_rule() -> Requirement {
    fn it_has_a_rule(_: &Claims) -> bool {
        false
    }
    requirement::predicate(it_has_a_rule)
}

impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.default {
            Some(requirement) => writeln!(formatter, "every request: {requirement}")?,
            None => writeln!(formatter, "every request: authenticated")?,
        }
        for row in &self.0.rows {
            writeln!(formatter, "{} {}: {}", row.kind.word(), row.name, row.requirement)?;
        }
        if self.0.denies_unlisted {
            writeln!(formatter, "any other tool, prompt or resource: denied")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Access").field(&self.0).finish()
    }
}

const AMBIGUOUS_URI: Refusal =
    Refusal::Invalid("The URI is not an absolute URI in its normal form.");
