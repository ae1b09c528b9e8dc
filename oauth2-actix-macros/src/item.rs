//! Parses the function under an attribute, and checks the rules for it.

use syn::{Attribute, Error, FnArg, Item, ItemFn, Result, Type, ext::IdentExt};

use crate::rule;

/// The most arguments of a handler in actix.
const MAX_ARGUMENTS: usize = 16;

/// Parses the function under an attribute.
pub(crate) fn parse(item: proc_macro::TokenStream) -> Result<ItemFn> {
    match syn::parse(item)? {
        Item::Fn(function) => Ok(function),
        other => Err(Error::new_spanned(other, "expected a handler, which is an `async fn`")),
    }
}

/// Checks that `function` can be a handler with one more argument, which the attribute named `attribute` adds.
pub(crate) fn check_handler(function: &ItemFn, attribute: &str) -> Result<()> {
    let signature = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(Error::new_spanned(
            receiver,
            "a handler cannot be a method; move it out of the impl block",
        ));
    }
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature.fn_token,
            "a handler is an `async fn`; write `async` before `fn`",
        ));
    }
    if let Some(public) = function.attrs.iter().find(|attribute| is_named(attribute, &["public"])) {
        return Err(public_and_required(public, attribute));
    }
    if signature.inputs.len() >= MAX_ARGUMENTS {
        return Err(Error::new_spanned(
            &signature.inputs,
            "actix allows 16 arguments, and an access rule adds one; combine several arguments into a tuple",
        ));
    }
    Ok(())
}

/// Returns whether a function has the argument that an access rule adds.
pub(crate) fn has_check(function: &ItemFn) -> bool {
    function.sig.inputs.iter().any(|argument| match argument {
        FnArg::Typed(argument) => matches!(&*argument.ty, Type::Path(path) if {
            path.path.segments.last().is_some_and(|last| last.ident == "Checked")
        }),
        FnArg::Receiver(_) => false,
    })
}

/// Returns the name of an attribute that requires a valid token.
pub(crate) fn require_attribute(attribute: &Attribute) -> Option<&'static str> {
    rule::NAMES.into_iter().find(|name| is_named(attribute, &[name]))
}

/// Returns the error for an attribute that cannot be combined with another.
pub(crate) fn public_and_required(attribute: &Attribute, other: &str) -> Error {
    Error::new_spanned(
        attribute,
        format!("`#[public]` cannot be combined with `#[{other}]`; remove one of them"),
    )
}

/// Compares the last segment only, since a macro cannot resolve imports.
pub(crate) fn is_named(attribute: &Attribute, names: &[&str]) -> bool {
    let last = attribute.path().segments.last().map(|last| last.ident.unraw());
    last.is_some_and(|last| names.iter().any(|name| last == name))
}

/// Returns the `cfg` attributes, for the items that are generated beside the function.
pub(crate) fn conditions(function: &ItemFn) -> impl Iterator<Item = &Attribute> {
    function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"))
}
