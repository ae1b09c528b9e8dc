//! What users have approved: forms that wait for an answer, codes, refresh tokens and opaque tokens. Each is found by an
//! unguessable value, and the oldest is forgotten when there are too many.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{clients::Client, parameters::unguessable};

/// An authorization request that was checked, until the user answers its form.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) client: Arc<Client>,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    /// The code challenge of PKCE, by the method S256.
    pub(super) challenge: String,
    pub(super) scopes: Vec<String>,
    /// What becomes the audience; if empty, the provider's default does.
    pub(super) resources: Vec<String>,
    pub(super) acr: String,
}

/// What a user has approved.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) user: String,
    pub(super) scopes: Vec<String>,
    pub(super) resources: Vec<String>,
    pub(super) acr: String,
    /// When the user approved, in seconds since the Unix epoch.
    pub(super) auth_time: u64,
    /// Whether the client gets refresh tokens.
    pub(super) is_refreshable: bool,
}

/// A code with what its request must repeat (RFC 6749 §4.1.3, RFC 7636 §4.6).
#[derive(Clone)]
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

/// A refresh token. Those that one code led to are one family.
#[derive(Clone)]
struct Refresh {
    grant: Grant,
    /// The thumbprint of the DPoP key that a public client must have.
    key: Option<String>,
    /// The code.
    family: String,
    is_used: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Grants {
    forms: Table<(Asked, Duration)>,
    codes: Table<(Code, Duration)>,
    refresh_tokens: Table<Refresh>,
    /// The claims of each opaque token.
    opaque_tokens: Table<Map<String, Value>>,
}

impl Grants {
    /// Returns the value that binds a form to its request.
    pub(super) fn ask(&mut self, asked: Asked, now: Duration) -> String {
        self.forms.insert((asked, now + FORM_LIFETIME))
    }

    /// Returns the request of a form that is answered, once.
    pub(super) fn answer(&mut self, form: &str, now: Duration) -> Option<Asked> {
        let (asked, expires) = self.forms.take(form)?;
        (now < expires).then_some(asked)
    }

    pub(super) fn issue_code(&mut self, code: Code, now: Duration) -> String {
        self.codes.insert((code, now + CODE_LIFETIME))
    }

    /// Returns what a code stands for, once. The second use of a code also revokes the refresh tokens of the
    /// first (RFC 6749 §4.1.2).
    pub(super) fn redeem(&mut self, code: &str, now: Duration) -> Option<Code> {
        match self.codes.take(code) {
            Some((found, expires)) => (now < expires).then_some(found),
            None => {
                self.revoke(code);
                None
            }
        }
    }

    /// Issues the first refresh token of a code, bound to the DPoP key with this thumbprint if there is one.
    pub(super) fn issue_refresh(
        &mut self,
        grant: Grant,
        key: Option<String>,
        code: &str,
    ) -> String {
        let family = code.to_owned();
        self.refresh_tokens.insert(Refresh { grant, key, family, is_used: false })
    }

    /// Returns what a refresh token stands for. A token that was used before, or is another client's, revokes
    /// its family (RFC 9700 §4.14.2). One that is bound to another key is only refused.
    pub(super) fn refresh(
        &mut self,
        token: &str,
        client_id: &str,
        key: Option<&str>,
    ) -> Option<Grant> {
        let found = self.refresh_tokens.find(token)?.clone();
        if found.is_used || found.grant.client_id != client_id {
            self.revoke(&found.family);
            return None;
        }
        if found.key.is_some() && found.key.as_deref() != key {
            return None;
        }
        Some(found.grant)
    }

    /// Replaces a refresh token by the next one of its family.
    pub(super) fn rotate(&mut self, token: &str) -> Option<String> {
        let found = self.refresh_tokens.find(token)?;
        let next = found.clone();
        found.is_used = true;
        Some(self.refresh_tokens.insert(next))
    }

    pub(super) fn issue_opaque(&mut self, claims: Map<String, Value>) -> String {
        self.opaque_tokens.insert(claims)
    }

    pub(super) fn claims_of_opaque(&mut self, token: &str) -> Option<Map<String, Value>> {
        self.opaque_tokens.find(token).cloned()
    }

    /// Returns whether the token was known.
    pub(super) fn revoke_opaque(&mut self, token: &str) -> bool {
        self.opaque_tokens.take(token).is_some()
    }

    fn revoke(&mut self, family: &str) {
        self.refresh_tokens.0.retain(|(_, refresh)| refresh.family != family);
    }
}

/// At most [`CAPACITY`] values, the oldest first.
struct Table<T>(VecDeque<(String, T)>);

impl<T> Table<T> {
    /// Inserts a value, and returns its name.
    fn insert(&mut self, value: T) -> String {
        if self.0.len() == CAPACITY {
            self.0.pop_front();
        }
        let name = unguessable();
        self.0.push_back((name.clone(), value));
        name
    }

    fn find(&mut self, name: &str) -> Option<&mut T> {
        self.0.iter_mut().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    fn take(&mut self, name: &str) -> Option<T> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        self.0.remove(at).map(|(_, value)| value)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

/// The largest number of forms, of codes, of refresh tokens, used ones included, and of opaque tokens.
const CAPACITY: usize = 500;

/// How long a user may take to answer.
const FORM_LIFETIME: Duration = Duration::from_secs(600);

const CODE_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_table_forgets_its_oldest_value_only() {
        let mut table = Table::default();
        let names: Vec<_> = (0..=CAPACITY).map(|value| table.insert(value)).collect();
        assert_eq!(table.take(&names[0]), None);
        assert_eq!(table.take(&names[1]), Some(1));
        assert_eq!(table.take(&names[1]), None);
        assert_eq!(table.take(&names[CAPACITY]), Some(CAPACITY));
    }
}
