//! The function under an attribute, and the rules for it.

use syn::{Attribute, Error, FnArg, ItemFn, Result};

/// What actix takes.
const MAX_ARGUMENTS: usize = 16;

/// Checks that `function` can be a handler with one argument more.
pub(crate) fn check_handler(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(FnArg::Receiver(receiver)) = signature.inputs.first() {
        return Err(Error::new_spanned(
            receiver,
            "a handler is a function of its own, not a method; move it out of the impl block",
        ));
    }
    if signature.asyncness.is_none() {
        return Err(Error::new_spanned(
            signature.fn_token,
            "a handler is an `async fn`; write `async` before `fn`",
        ));
    }
    if signature.inputs.len() >= MAX_ARGUMENTS {
        return Err(Error::new_spanned(
            &signature.inputs,
            "actix allows 16 arguments, and each require attribute takes one of them; \
             put several arguments into one tuple",
        ));
    }
    Ok(())
}

/// The `cfg` attributes, for what stands beside the function.
pub(crate) fn conditions(function: &ItemFn) -> impl Iterator<Item = &Attribute> {
    function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"))
}
