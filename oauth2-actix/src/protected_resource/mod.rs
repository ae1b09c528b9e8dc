//! The protected resources of a policy at run time (RFC 9728): which one a request is for, what a challenge says
//! about it, and its metadata document.
//!
//! It imports `config`, `http`, `jose`, `json`, `keys`, `public`, `token` and `util`.
//!
//! - this file: the resources, and the one of a request's path
//! - `authorization_server.rs`: compares the settings with the metadata of the authorization servers, at start
//! - `document.rs`: the metadata document
//! - `service.rs`: the service that sends the metadata documents

pub(crate) mod authorization_server;
pub(crate) mod document;
pub(crate) mod service;

use bytes::Bytes;

use self::document::Facts;
use crate::{
    config::{
        resource::Resource,
        resource_uri::{ResourceUri, WELL_KNOWN},
    },
    json::object::Object,
    token::validation,
};

/// The resources of a policy. Empty unless a resource is configured.
#[derive(Debug, Default)]
pub(crate) struct Resources(Vec<ProtectedResource>);

/// A resource, with all that responses say about it.
#[derive(Debug)]
pub(crate) struct ProtectedResource {
    pub(crate) uri: ResourceUri,
    /// The URL of the metadata document, for challenges.
    pub(crate) metadata_url: String,
    metadata_path: String,
    /// The scopes of the metadata document.
    scopes: Vec<String>,
    /// The scopes that a challenge names, separated by spaces, if the route names none.
    pub(crate) challenge_scopes: Option<String>,
    pub(crate) document: Document,
}

/// A metadata document as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    pub(crate) body: Bytes,
    pub(crate) etag: String,
}

impl Resources {
    pub(crate) fn new(resources: Vec<ProtectedResource>) -> Self {
        Self(resources)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether a request's path decides which of them it is for.
    #[inline]
    pub(crate) fn are_several(&self) -> bool {
        self.0.len() > 1
    }

    /// Returns the index of the resource whose challenge a response has: of several, the one that the path is in, and
    /// the first if it is in none.
    pub(crate) fn index_of(&self, path: &str) -> usize {
        if !self.are_several() {
            return 0;
        }
        let longest = self.longest(path);
        self.0
            .iter()
            .position(|resource| longest.is_some() && resource.uri.covers(path) == longest)
            .unwrap_or_default()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&ProtectedResource> {
        self.0.get(index)
    }

    /// Returns whether a token names the resource that a path is in. With one resource, every path is in it. Of
    /// several, it is the one with the longest path; those with the same path at other hosts are one resource. A path
    /// that a handler may resolve to another one is in all of them.
    pub(crate) fn are_named(&self, claims: &Object, path: &str) -> bool {
        if self.are_several() && is_ambiguous(path) {
            return self.0.iter().all(|resource| names(claims, &resource.uri));
        }
        let longest = self.longest(path);
        let is_of_path = |resource: &&ProtectedResource| {
            !self.are_several() || (longest.is_some() && resource.uri.covers(path) == longest)
        };
        self.0.iter().filter(is_of_path).any(|resource| names(claims, &resource.uri))
    }

    /// Returns whether a token names every resource that another token is for: those that it names, or all of them.
    #[cfg(feature = "websocket")]
    pub(crate) fn are_named_as_in(
        &self,
        claims: &Object,
        other: &Object,
        other_is_for_all: bool,
    ) -> bool {
        self.0.iter().all(|ProtectedResource { uri, .. }| {
            names(claims, uri) || !(other_is_for_all || names(other, uri))
        })
    }

    fn longest(&self, path: &str) -> Option<usize> {
        self.0.iter().filter_map(|resource| resource.uri.covers(path)).max()
    }

    /// Returns whether a path is that of a metadata document.
    pub(crate) fn has_document_at(&self, path: &str) -> bool {
        path.starts_with(WELL_KNOWN) && self.documents().any(|(at, _)| at == path)
    }

    /// Returns the path of each metadata document, and the document. The one of the only resource is also at the
    /// path of the host, where clients look for it if they have not seen a challenge.
    pub(crate) fn documents(&self) -> impl Iterator<Item = (&str, &Document)> {
        let of_host = match &self.0[..] {
            [only] if !only.uri.is_host() => Some((WELL_KNOWN, &only.document)),
            _ => None,
        };
        let own = self.0.iter().enumerate().filter(|(index, resource)| {
            // Two hosts may have the same path. The first is sent.
            self.0[..*index].iter().all(|earlier| earlier.metadata_path != resource.metadata_path)
        });
        own.map(|(_, resource)| (resource.metadata_path.as_str(), &resource.document))
            .chain(of_host)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &ProtectedResource> {
        self.0.iter()
    }
}

impl ProtectedResource {
    /// Resolves a resource whose settings were checked.
    pub(crate) fn new(resource: &Resource, uri: ResourceUri, facts: &Facts<'_>) -> Self {
        let challenge_scopes = resource.challenge_scopes.as_ref().map(|scopes| scopes.join(" "));
        Self {
            metadata_url: uri.metadata_url(),
            metadata_path: uri.metadata_path(),
            scopes: resource.scopes.as_deref().unwrap_or(facts.scopes).to_vec(),
            challenge_scopes: challenge_scopes.filter(|scopes| !scopes.is_empty()),
            document: Document::new(resource, &uri, facts),
            uri,
        }
    }

    pub(crate) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(String::as_str)
    }
}

/// Returns whether a handler, or a middleware inside, may resolve a path of the router to another one: by decoding
/// what the router does not decode, by dot segments or by merging slashes.
fn is_ambiguous(path: &str) -> bool {
    path.contains(['%', '\\'])
        || path.contains("//")
        || path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Returns whether a token's `aud` names a resource. A malformed `aud` names none.
fn names(claims: &Object, uri: &ResourceUri) -> bool {
    validation::has_only_text(claims, "aud")
        && validation::audiences(claims, "aud").any(|audience| uri.is(audience))
}
