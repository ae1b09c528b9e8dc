//! The receiver at run time: from a message to entries of the deny list.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use aws_lc_rs::{
    constant_time,
    digest::{Digest, SHA256, digest},
};

use super::{
    event::{self, SecurityEvent, Subject},
    logout_token::{self, LogoutToken},
    message::{Message, Problem},
    seen::{Id, Seen},
    settings::{BackchannelLogout, SecurityEvents},
};
use crate::{
    error::{Error, ErrorKind},
    jose::jws::{MessageType, UnverifiedJws},
    json::object::Object,
    keys::fetcher::Fetchers,
    provider::ResolvedProvider,
    revocation::{Revocation, Revocations},
    token::validation,
    util::{clock::Clock, log_rate::Throttle},
};

/// The receivers of a policy.
#[derive(Debug, Default)]
pub(crate) struct Receivers(Vec<Arc<Receiver>>);

/// What receivers share with the rest of the policy.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The configured providers with their issuers, by name.
    pub(crate) providers: Vec<(String, Arc<ResolvedProvider>, Vec<String>)>,
    pub(crate) fetchers: Option<Fetchers>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) leeway: Duration,
    pub(crate) clock: Clock,
}

/// A receiver of messages at one path.
pub(super) struct Receiver {
    pub(super) path: String,
    pub(super) kind: Kind,
    parties: Vec<Party>,
    seen: Seen,
    setup: Setup,
    /// The rates of log lines about messages that were rejected, and about messages that could not be processed.
    refusals: Throttle,
    failures: Throttle,
}

/// What a receiver receives.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    LogoutTokens {
        end_all_sessions: bool,
    },
    SecurityEvents {
        /// The hash of the `Authorization` header that requests must have.
        authorization: Option<Digest>,
    },
}

/// The audience of messages, and the provider that signs them.
#[derive(Debug)]
struct Party {
    provider: Arc<ResolvedProvider>,
    issuers: Vec<String>,
    audience: String,
}

/// The content of a message.
struct Content<'a> {
    message: Message<'a>,
    /// Whose tokens are revoked.
    ends: Vec<Subject<'a>>,
    /// The time up to which tokens of a user were issued that are revoked.
    issued_until: Duration,
}

/// Why a message was not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Invalid(Code),
    /// It may be valid: keys or the deny list are not available.
    Unavailable,
}

/// The errors of RFC 8935 §2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Request,
    Key,
    Issuer,
    Audience,
    Authentication,
}

impl Receivers {
    /// Returns the receivers that are configured. The settings were checked.
    pub(crate) fn new(
        logout: Option<&BackchannelLogout>,
        events: Option<&SecurityEvents>,
        setup: &Setup,
    ) -> Self {
        let logout = logout.map(|logout| {
            let kind = Kind::LogoutTokens { end_all_sessions: logout.end_all_sessions };
            Receiver::new(&logout.path, kind, &logout.clients, setup)
        });
        let events = events.map(|events| {
            let kind = Kind::SecurityEvents { authorization: events.authorization };
            Receiver::new(&events.path, kind, &events.audiences, setup)
        });
        Self(logout.into_iter().chain(events).map(Arc::new).collect())
    }

    /// Returns whether a request may be for a receiver, in whatever scope it is.
    pub(crate) fn may_be_at(&self, path: &str) -> bool {
        self.0.iter().any(|receiver| path.ends_with(&receiver.path))
    }

    /// Returns the path and the handler of each receiver, for the table of routes.
    pub(crate) fn routes(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.0.iter().map(|receiver| {
            let handler = match receiver.kind {
                Kind::LogoutTokens { .. } => "oauth2_actix::logout::backchannel_logout",
                Kind::SecurityEvents { .. } => "oauth2_actix::logout::security_events",
            };
            (receiver.path.as_str(), handler)
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Receiver>> {
        self.0.iter()
    }
}

impl Receiver {
    fn new(path: &str, kind: Kind, parties: &[(String, String)], setup: &Setup) -> Self {
        let parties = parties.iter().filter_map(|(name, audience)| {
            let (_, provider, issuers) =
                setup.providers.iter().find(|(known, ..)| known == name)?;
            Some(Party {
                provider: Arc::clone(provider),
                issuers: issuers.clone(),
                audience: audience.clone(),
            })
        });
        Self {
            path: path.to_owned(),
            kind,
            parties: parties.collect(),
            seen: Seen::default(),
            refusals: Throttle::new(setup.clock.clone()),
            failures: Throttle::new(setup.clock.clone()),
            setup: setup.clone(),
        }
    }

    /// Checks the `Authorization` header of a request.
    pub(super) fn check_authorization(&self, header: Option<&[u8]>) -> Result<(), Refusal> {
        let Kind::SecurityEvents { authorization: Some(expected) } = &self.kind else {
            return Ok(());
        };
        let sent = digest(&SHA256, header.unwrap_or_default());
        constant_time::verify_slices_are_equal(sent.as_ref(), expected.as_ref()).map_err(|_| {
            let problem = "the `Authorization` header differs from the configured one".into();
            self.refuse(Code::Authentication, problem)
        })
    }

    /// Checks a message and adds what it revokes to the deny list. A message that was received before changes nothing.
    pub(super) async fn receive(&self, text: &str) -> Result<(), Refusal> {
        let typ = match self.kind {
            Kind::LogoutTokens { .. } => logout_token::TYPE,
            Kind::SecurityEvents { .. } => event::TYPE,
        };
        let invalid = |problem: Problem| self.refuse(Code::Request, problem);
        // All cheap checks come first. A request costs at most one check of a signature, as one with an access token does.
        let jws = UnverifiedJws::parse_message(text, typ)
            .map_err(|error| invalid(error.to_string().into()))?;
        let Content { message, ends, issued_until } = self.read(&jws.claims).map_err(invalid)?;
        let mut parties = self.of_issuer(message.issuer).peekable();
        if parties.peek().is_none() {
            return Err(self.refuse(
                Code::Issuer,
                "its issuer is unknown; expected that of a configured provider".into(),
            ));
        }
        let parties: Vec<&Party> = parties.filter(|it| it.is_audience_of(&jws.claims)).collect();
        if parties.is_empty() {
            return Err(self.refuse(
                Code::Audience,
                "its audience is wrong; expected the configured one".into(),
            ));
        }
        let id = Id::new(message.issuer, message.id);
        let now = self.setup.clock.unix_time();
        let is_known = self.seen.contains(&id, now);
        let party = self.verify(text, typ, &parties).await?;
        if is_known {
            return Ok(());
        }
        // For users, the leeway too: servers of a provider may have different clocks.
        let issued_until = issued_until.saturating_add(self.setup.leeway);
        let revocations: Vec<_> =
            ends.iter().flat_map(|ends| party.revocations(*ends, issued_until)).collect();
        let added = self.setup.revocations.add_all(&revocations).await;
        added.map_err(|error| self.fail(&error))?;
        self.seen.insert(id, message.ends, now);
        Ok(())
    }

    /// Reads what a message revokes.
    fn read<'a>(&self, claims: &'a Object) -> Result<Content<'a>, Problem> {
        let (now, leeway) = (self.setup.clock.unix_time(), self.setup.leeway);
        match self.kind {
            Kind::LogoutTokens { end_all_sessions } => {
                let LogoutToken { message, subject, session } =
                    LogoutToken::read(claims, now, leeway)?;
                // A logout token with both is about the session.
                let subject = subject.filter(|_| session.is_none() || end_all_sessions);
                let session = session.map(Subject::Session);
                let ends = session.into_iter().chain(subject.map(Subject::User)).collect();
                Ok(Content { ends, issued_until: message.issued_at, message })
            }
            Kind::SecurityEvents { .. } => {
                let SecurityEvent { message, ends, occurred_at } =
                    SecurityEvent::read(claims, now, leeway)?;
                let ends = ends.into_iter().collect();
                Ok(Content { ends, issued_until: occurred_at, message })
            }
        }
    }

    fn of_issuer(&self, issuer: &str) -> impl Iterator<Item = &Party> {
        self.parties.iter().filter(move |party| party.issuers.iter().any(|known| known == issuer))
    }

    /// Verifies the signature with the keys of the party, and returns the party. There are several only if the configuration
    /// has several providers for one issuer and audience.
    async fn verify<'a>(
        &self,
        text: &str,
        typ: MessageType,
        parties: &[&'a Party],
    ) -> Result<&'a Party, Refusal> {
        let (fetchers, clock) = (self.setup.fetchers.as_ref(), &self.setup.clock);
        let mut refusal: Option<Error> = None;
        for &party in parties {
            match party.provider.verify_message(text, typ, fetchers, clock).await {
                Ok(_) => return Ok(party),
                Err(error) if refusal.as_ref().is_none_or(|known| !is_unavailable(known)) => {
                    refusal = Some(error);
                }
                Err(_) => {}
            }
        }
        match refusal {
            Some(error) if is_unavailable(&error) => Err(self.fail(&error)),
            Some(error) => Err(self.refuse(Code::Key, error.to_string().into())),
            // Unreachable, since there was a party.
            None => Err(Refusal::Invalid(Code::Key)),
        }
    }

    /// Logs why a message is rejected. The reason contains no part of it.
    pub(super) fn refuse(&self, code: Code, problem: Problem) -> Refusal {
        if self.refusals.allows() {
            tracing::warn!(
                target: "oauth2_actix", path = self.path, reason = %problem,
                "a logout message was rejected: if a provider sent it, the sessions stay open (logged once in 10 s)"
            );
        }
        Refusal::Invalid(code)
    }

    pub(super) fn fail(&self, cause: &dyn fmt::Display) -> Refusal {
        if self.failures.allows() {
            tracing::error!(
                target: "oauth2_actix", path = self.path, %cause,
                "a logout message could not be processed: the sender got 503 and should retry (logged once in 10 s)"
            );
        }
        Refusal::Unavailable
    }
}

impl Party {
    fn is_audience_of(&self, claims: &Object) -> bool {
        validation::names_audience(claims, "aud", std::slice::from_ref(&self.audience))
    }

    /// Returns the entries for each issuer of the provider, since its tokens may have another `iss` than the message.
    ///
    /// The entry of a user is limited to tokens that were issued until then. So a message that is sent again does not end a
    /// later login, even if its id is not stored. A `sid` identifies one session, and a later session has another.
    fn revocations(
        &self,
        ends: Subject<'_>,
        issued_until: Duration,
    ) -> impl Iterator<Item = Revocation> {
        self.issuers.iter().map(move |issuer| match ends {
            Subject::Session(sid) => Revocation::session(issuer, sid),
            Subject::User(sub) => {
                Revocation::subject(issuer, sub).issued_before(UNIX_EPOCH + issued_until)
            }
        })
    }
}

/// Returns whether a retry may succeed: keys are missing, or were not fetched because of the cooldown.
fn is_unavailable(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::KeysUnavailable { .. } | ErrorKind::KeysUntried { .. })
}

impl fmt::Debug for Receiver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Receiver")
            .field("path", &self.path)
            .field("parties", &self.parties)
            .finish_non_exhaustive()
    }
}
