//! `#[guarded]`: every handler of a module has an access rule.
//!
//! The attributes of a rule are moved above the routing macros, so that each rule sees its routes. A handler
//! without a rule is an error, and so is whatever hides a handler from this check.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{
    Attribute, Error, ItemFn, ItemMacro, ItemMod, ItemUse, Macro, Meta, Result, UseTree,
    ext::IdentExt,
    visit_mut::{self, VisitMut},
};

use crate::{route, rule};

/// Expands `#[guarded]` on a module. The module is returned also if there are errors.
pub(crate) fn expand(args: &TokenStream, mut module: ItemMod) -> (ItemMod, Option<Error>) {
    let mut guard = Guard::default();
    if !args.is_empty() {
        guard.reject(Error::new_spanned(args, "`#[guarded]` takes no arguments"));
    }
    guard.visit_item_mod_mut(&mut module);
    (module, guard.errors)
}

#[derive(Default)]
struct Guard {
    errors: Option<Error>,
}

impl Guard {
    fn reject(&mut self, error: Error) {
        match &mut self.errors {
            Some(errors) => errors.combine(error),
            None => self.errors = Some(error),
        }
    }
}

impl VisitMut for Guard {
    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        if function.attrs.iter().any(routes) {
            if function.attrs.iter().any(rule::is_rule) {
                // A stable sort, which keeps the order otherwise.
                function.attrs.sort_by_key(|attribute| !rule::is_rule(attribute));
            } else {
                self.reject(Error::new_spanned(
                    &function.sig.ident,
                    "this handler has no access rule; add `#[public]` if it needs no token, \
                     `#[authenticated]` if any valid token is enough, or a requirement such as \
                     `#[require_scope(\"orders:read\")]`",
                ));
            }
        }
        visit_mut::visit_item_fn_mut(self, function);
    }

    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        if module.content.is_none() {
            self.reject(Error::new_spanned(
                &*module,
                "`#[guarded]` cannot see into a module of another file; write `#[guarded]` on a module \
                 with braces in that file",
            ));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_use_mut(&mut self, import: &mut ItemUse) {
        if let Some(renamed) = renamed_routing_macro(&import.tree) {
            self.reject(Error::new_spanned(
                renamed,
                "`#[guarded]` recognizes a routing macro by its own name; import it without `as`",
            ));
        }
    }

    fn visit_item_macro_mut(&mut self, item: &mut ItemMacro) {
        let name = item.mac.path.segments.last().map(|last| last.ident.unraw().to_string());
        let is_definition = name.as_deref() == Some("macro_rules");
        if !is_definition && name.as_deref() != Some("thread_local") {
            self.reject(Error::new_spanned(
                &item.mac.path,
                "`#[guarded]` cannot see the items that this macro makes; move it out of the module",
            ));
            return;
        }
        visit_mut::visit_item_macro_mut(self, item);
    }

    fn visit_macro_mut(&mut self, call: &mut Macro) {
        if has_routing_macro(call.tokens.clone()) {
            self.reject(Error::new_spanned(
                &call.path,
                "`#[guarded]` cannot check a handler inside a macro; write the handler without the macro, \
                 or move the macro out of the module",
            ));
        }
    }
}

/// Returns whether an attribute is a routing macro, also one in `cfg_attr`.
fn routes(attribute: &Attribute) -> bool {
    is_routing(&attribute.meta)
}

fn is_routing(meta: &Meta) -> bool {
    let Some(last) = meta.path().segments.last() else { return false };
    let name = last.ident.unraw().to_string();
    match meta {
        Meta::List(list) if name == "cfg_attr" => attributes_of_cfg_attr(&list.tokens)
            .any(|meta| meta.is_none_or(|meta| is_routing(&meta))),
        // Another crate may have an attribute of this name: actix's begins with a path.
        Meta::List(list) => {
            route::is_routing_macro(&name)
                && matches!(
                    list.tokens.clone().into_iter().next(),
                    Some(TokenTree::Literal(_) | TokenTree::Group(_))
                )
        }
        Meta::Path(_) => name == "routes",
        Meta::NameValue(_) => false,
    }
}

/// Returns the attributes in a `cfg_attr`, after the condition. None for one that cannot be parsed, which may
/// be a routing macro.
fn attributes_of_cfg_attr(tokens: &TokenStream) -> impl Iterator<Item = Option<Meta>> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens.clone() {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            _ => {
                if let Some(part) = parts.last_mut() {
                    part.extend([token]);
                }
            }
        }
    }
    let attributes = parts.into_iter().skip(1).filter(|part| !part.is_empty());
    attributes.map(|part| syn::parse2(part).ok())
}

fn renamed_routing_macro(tree: &UseTree) -> Option<&UseTree> {
    match tree {
        UseTree::Path(path) => renamed_routing_macro(&path.tree),
        UseTree::Group(group) => group.items.iter().find_map(renamed_routing_macro),
        UseTree::Rename(rename)
            if rename.rename != "_"
                && route::is_routing_macro(&rename.ident.unraw().to_string()) =>
        {
            Some(tree)
        }
        UseTree::Rename(_) | UseTree::Name(_) | UseTree::Glob(_) => None,
    }
}

/// Returns whether tokens have an attribute with the name of a routing macro, or one whose name is an argument
/// of a macro.
fn has_routing_macro(tokens: TokenStream) -> bool {
    let mut after_hash = false;
    for token in tokens {
        let is_hash = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        if let TokenTree::Group(group) = token {
            let is_attribute = after_hash && group.delimiter() == Delimiter::Bracket;
            if (is_attribute && may_route(group.stream())) || has_routing_macro(group.stream()) {
                return true;
            }
        }
        after_hash = is_hash;
    }
    false
}

/// Returns whether the content of an attribute in a macro may be a routing macro.
fn may_route(attribute: TokenStream) -> bool {
    let mut last = None;
    for token in attribute {
        match token {
            TokenTree::Ident(ident) => last = Some(ident),
            TokenTree::Punct(punct) if punct.as_char() == '$' => return true,
            TokenTree::Punct(_) => {}
            TokenTree::Group(arguments) => {
                let is_conditional = last.as_ref().is_some_and(|name| name == "cfg_attr");
                return last.as_ref().is_some_and(is_routing_name)
                    || (is_conditional && arguments.stream().into_iter().any(|token| {
                        matches!(&token, TokenTree::Ident(ident) if is_routing_name(ident))
                    }));
            }
            TokenTree::Literal(_) => {}
        }
    }
    last.is_some_and(|name| name == "routes")
}

fn is_routing_name(name: &Ident) -> bool {
    route::is_routing_macro(&name.unraw().to_string())
}

/// Parses the module under the attribute.
pub(crate) fn parse(item: proc_macro::TokenStream) -> Result<ItemMod> {
    syn::parse(item).map_err(|error| {
        Error::new(error.span(), "`#[guarded]` must be on a module with braces: `mod api { … }`")
    })
}
