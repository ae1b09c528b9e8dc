//! `#[guarded]`: every handler of a module has an access rule.
//!
//! The attributes of a rule are moved above the routing macros, so that each rule sees its routes. A handler
//! without a rule is an error, and so is whatever hides a handler from this check.

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Error, ItemFn, ItemMod, ItemUse, Macro, Meta, Result, Token, UseTree,
    parse::Parser,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

use crate::{item, route, rule};

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
            if function.attrs.iter().any(is_rule) {
                // A stable sort, which keeps the order otherwise.
                function.attrs.sort_by_key(|attribute| !is_rule(attribute));
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
    is_routing(&attribute.meta) || conditional(attribute).iter().any(is_routing)
}

fn is_routing(meta: &Meta) -> bool {
    let Some(last) = meta.path().segments.last() else { return false };
    let name = last.ident.to_string();
    match meta {
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

/// Returns the attributes in a `cfg_attr`.
fn conditional(attribute: &Attribute) -> Vec<Meta> {
    match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => {
            Punctuated::<Meta, Token![,]>::parse_terminated
                .parse2(list.tokens.clone())
                .map(|metas| metas.into_iter().skip(1).collect())
                .unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

fn is_rule(attribute: &Attribute) -> bool {
    item::is_named(attribute, &["public"]) || item::is_named(attribute, &rule::NAMES)
}

fn renamed_routing_macro(tree: &UseTree) -> Option<&UseTree> {
    match tree {
        UseTree::Path(path) => renamed_routing_macro(&path.tree),
        UseTree::Group(group) => group.items.iter().find_map(renamed_routing_macro),
        UseTree::Rename(rename)
            if rename.rename != "_" && route::is_routing_macro(&rename.ident.to_string()) =>
        {
            Some(tree)
        }
        UseTree::Rename(_) | UseTree::Name(_) | UseTree::Glob(_) => None,
    }
}

/// Returns whether tokens have an attribute that is a routing macro with a path.
fn has_routing_macro(tokens: TokenStream) -> bool {
    let mut after_hash = false;
    for token in tokens {
        let is_hash = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        if let TokenTree::Group(group) = token {
            let is_attribute = after_hash
                && Attribute::parse_outer
                    .parse2(
                        [TokenTree::Punct(hash()), TokenTree::Group(group.clone())]
                            .into_iter()
                            .collect(),
                    )
                    .is_ok_and(|attributes| attributes.iter().any(routes));
            if is_attribute || has_routing_macro(group.stream()) {
                return true;
            }
        }
        after_hash = is_hash;
    }
    false
}

fn hash() -> proc_macro2::Punct {
    proc_macro2::Punct::new('#', proc_macro2::Spacing::Alone)
}

/// Parses the module under the attribute.
pub(crate) fn parse(item: proc_macro::TokenStream) -> Result<ItemMod> {
    syn::parse(item).map_err(|error| {
        Error::new(error.span(), "`#[guarded]` must be on a module with braces: `mod api { … }`")
    })
}
