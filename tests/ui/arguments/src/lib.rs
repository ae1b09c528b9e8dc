//! One macro, for `tests/messages.rs`: the arguments that Cargo passes to the compiler.

use proc_macro::{Delimiter, Group, Literal, Punct, Spacing, TokenStream, TokenTree};

/// The arguments of the compiler that expands this macro, as `&[&str]`.
///
/// They name the libraries that Cargo has built for the calling crate.
#[proc_macro]
pub fn compiler_arguments(_: TokenStream) -> TokenStream {
    let items = std::env::args().skip(1).flat_map(|argument| {
        [TokenTree::from(Literal::string(&argument)), Punct::new(',', Spacing::Alone).into()]
    });
    let list = Group::new(Delimiter::Bracket, items.collect());
    [TokenTree::from(Punct::new('&', Spacing::Alone)), list.into()].into_iter().collect()
}
