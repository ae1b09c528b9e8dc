//! The access rule of a handler: the attribute that is expanded, and those below it.
//!
//! An attribute sees the attributes below it. The first one takes the others, so that a handler has one check
//! and one row in the table, and one challenge names all scopes.

use proc_macro2::TokenStream;
use syn::{
    Attribute, Error, ItemFn, Meta, Result,
    ext::IdentExt,
    parse::{Parse, Parser},
};

use crate::args::{
    AcrArgs, ActorArgs, AuthAgeArgs, ClaimArgs, DetailArgs, FunctionArgs, PolicyArgs, ScopeArgs,
};

/// One attribute of an access rule.
pub(crate) enum Part {
    Authenticated,
    Claim(ClaimArgs),
    Scope(ScopeArgs),
    Policy(PolicyArgs),
    Acr(AcrArgs),
    AuthAge(AuthAgeArgs),
    Actor(ActorArgs),
    NotDelegated,
    Dpop,
    Detail(DetailArgs),
    Function(FunctionArgs),
}

/// The names of the attributes that require a valid token.
pub(crate) const NAMES: [&str; 11] = [
    "authenticated",
    "deny_delegated",
    "require",
    "require_acr",
    "require_actor",
    "require_auth_age",
    "require_authorization_detail",
    "require_claim",
    "require_dpop",
    "require_policy",
    "require_scope",
];

impl Part {
    /// Parses the arguments of the attribute with this name.
    pub(crate) fn parse(name: &str, args: TokenStream) -> Result<Self> {
        match name {
            "require_claim" => ClaimArgs::parse.parse2(args).map(Self::Claim),
            "require_scope" => ScopeArgs::parse.parse2(args).map(Self::Scope),
            "require_policy" => PolicyArgs::parse.parse2(args).map(Self::Policy),
            "require" => FunctionArgs::parse.parse2(args).map(Self::Function),
            "require_acr" => AcrArgs::parse.parse2(args).map(Self::Acr),
            "require_auth_age" => AuthAgeArgs::parse.parse2(args).map(Self::AuthAge),
            "require_actor" => ActorArgs::parse.parse2(args).map(Self::Actor),
            "require_authorization_detail" => DetailArgs::parse.parse2(args).map(Self::Detail),
            "deny_delegated" if args.is_empty() => Ok(Self::NotDelegated),
            "deny_delegated" => Err(Error::new_spanned(
                args,
                "`#[deny_delegated]` takes no arguments: no actor may act for the subject; to allow some, use \
                 `#[require_actor(\"…\")]`",
            )),
            "require_dpop" if args.is_empty() => Ok(Self::Dpop),
            "require_dpop" => Err(Error::new_spanned(
                args,
                "`#[require_dpop]` takes no arguments: a token that is bound to a DPoP key is required",
            )),
            _ if args.is_empty() => Ok(Self::Authenticated),
            _ => Err(Error::new_spanned(
                args,
                "`#[authenticated]` takes no arguments: any valid token is enough; for a requirement, use \
                 `#[require_scope(\"…\")]` or `#[require_claim(\"…\", \"…\")]`",
            )),
        }
    }
}

/// Takes the parts that are below the attribute that is expanded, and leaves attributes that do nothing, so
/// that their imports are used. An attribute with invalid arguments stays as it is, and reports its own errors.
pub(crate) fn take_parts(function: &mut ItemFn) -> Vec<Part> {
    let mut parts = Vec::new();
    for attribute in &mut function.attrs {
        if let Some(Ok(part)) = part(attribute) {
            parts.push(part);
            let path = attribute.path();
            attribute.meta = syn::parse_quote! { #path(__oauth2_actix_merged) };
        }
    }
    parts
}

/// Returns whether the arguments are those of an attribute that was merged into one above it.
pub(crate) fn is_merged(args: &TokenStream) -> bool {
    args.to_string() == "__oauth2_actix_merged"
}

fn part(attribute: &Attribute) -> Option<Result<Part>> {
    let name = own_name(attribute)?;
    let args = match &attribute.meta {
        Meta::Path(_) => TokenStream::new(),
        Meta::List(list) => list.tokens.clone(),
        Meta::NameValue(_) => return None,
    };
    if is_merged(&args) {
        return None;
    }
    Some(Part::parse(name, args))
}

/// Returns the name of an attribute of this crate, as it is imported or by its full path. An attribute of
/// another path may be another crate's, and expands itself.
fn own_name(attribute: &Attribute) -> Option<&'static str> {
    let segments = &attribute.path().segments;
    let is_own = match segments.len() {
        1 => true,
        2 => segments[0].ident == "oauth2_actix",
        _ => false,
    };
    let last = segments.last().filter(|_| is_own)?.ident.unraw();
    NAMES.into_iter().find(|name| last == name)
}

/// Returns whether an attribute is an access rule: `#[public]`, or one that requires a token.
pub(crate) fn is_rule(attribute: &Attribute) -> bool {
    let segments = &attribute.path().segments;
    let is_public = segments.last().is_some_and(|last| last.ident.unraw() == "public")
        && (segments.len() == 1 || (segments.len() == 2 && segments[0].ident == "oauth2_actix"));
    let is_merged = matches!(&attribute.meta, Meta::List(list) if is_merged(&list.tokens));
    is_public || (own_name(attribute).is_some() && !is_merged)
}
