//! The arguments of the attributes, parsed into what they mean. Every mistake keeps its place.

use syn::{
    Error, Expr, ExprCall, ExprLit, ExprPath, ExprUnary, Lit, LitBool, LitStr, Path, Result, Token,
    UnOp,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    spanned::Spanned,
};

/// `#[require_claim("name")]`, `("name", value)`, `("name", any(…))`, `("name", all(…))`.
pub(crate) struct ClaimArgs {
    pub(crate) name: LitStr,
    pub(crate) values: Values,
}

/// What a claim may be.
pub(crate) enum Values {
    Present,
    One(ClaimValue),
    Any(Vec<ClaimValue>),
    All(Vec<ClaimValue>),
}

/// A literal that a claim is compared with.
pub(crate) enum ClaimValue {
    Text(LitStr),
    Integer(i64),
    Bool(LitBool),
}

/// `#[require_scope("a", "b")]`, `(any("a", "b"))`, `(all("a", "b"))`.
pub(crate) struct ScopeArgs {
    pub(crate) any: bool,
    pub(crate) scopes: Vec<LitStr>,
}

/// `#[require(path::to::function)]`.
pub(crate) struct FunctionArgs {
    pub(crate) function: Path,
}

impl Parse for ClaimArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const HOW: &str = "expected a claim's name, and what it must be: \
                           #[require_claim(\"role\", \"admin\")]";
        if input.is_empty() {
            return Err(Error::new(input.span(), HOW));
        }
        let mut arguments = Punctuated::<Expr, Token![,]>::parse_terminated(input)?.into_iter();
        let name = match arguments.next() {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) => name,
            Some(other) => return Err(Error::new_spanned(other, HOW)),
            None => return Err(Error::new(input.span(), HOW)),
        };
        let checked_name = check_name(&name);
        let values = match arguments.next() {
            None => Ok(Values::Present),
            Some(value) => Values::read(value),
        };
        let surplus = match arguments.next() {
            None => Ok(()),
            Some(surplus) => Err(Error::new_spanned(
                surplus,
                "one value, or several as any(\"a\", \"b\") or all(\"a\", \"b\")",
            )),
        };
        // All that is wrong at once.
        let (checked_name, surplus) = (checked_name.err(), surplus.err());
        match (values, checked_name.into_iter().chain(surplus).reduce(combine)) {
            (Ok(values), None) => Ok(Self { name, values }),
            (Ok(_), Some(error)) | (Err(error), None) => Err(error),
            (Err(value), Some(error)) => Err(combine(error, value)),
        }
    }
}

impl Values {
    fn read(value: Expr) -> Result<Self> {
        let Expr::Call(call) = value else { return ClaimValue::read(value).map(Self::One) };
        let (any, values) = any_or_all(call)?;
        let values = all_of(values, ClaimValue::read)?;
        Ok(if any { Self::Any(values) } else { Self::All(values) })
    }
}

impl ClaimValue {
    fn read(value: Expr) -> Result<Self> {
        let error = |spanned: &dyn quote::ToTokens| {
            Err(Error::new_spanned(
                spanned,
                "a claim is compared with text, an integer or a bool: \"admin\", 7, true",
            ))
        };
        let (negative, literal) = match value {
            Expr::Lit(ExprLit { lit, .. }) => (false, lit),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), ref expr, .. }) => match &**expr {
                Expr::Lit(ExprLit { lit: lit @ Lit::Int(_), .. }) => (true, lit.clone()),
                _ => return error(&value),
            },
            other => return error(&other),
        };
        match literal {
            Lit::Str(text) => Ok(Self::Text(text)),
            Lit::Bool(value) => Ok(Self::Bool(value)),
            Lit::Int(digits) if digits.suffix().is_empty() => digits
                .base10_parse::<i128>()
                .map(|value| if negative { -value } else { value })
                .ok()
                .and_then(|value| i64::try_from(value).ok())
                .map(Self::Integer)
                .ok_or_else(|| Error::new_spanned(digits, "the integer does not fit in 64 bits")),
            other => error(&other),
        }
    }
}

impl Parse for ScopeArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const HOW: &str = "expected scopes: #[require_scope(\"orders:read\", \"orders:write\")] \
                           for all of them, or #[require_scope(any(\"a\", \"b\"))] for one";
        if input.is_empty() {
            return Err(Error::new(input.span(), HOW));
        }
        let mut arguments = Punctuated::<Expr, Token![,]>::parse_terminated(input)?;
        let any = if arguments.len() == 1
            && let Some(Expr::Call(call)) = arguments.first()
        {
            let (any, inner) = any_or_all(call.clone())?;
            arguments = inner;
            any
        } else {
            false
        };
        let scopes = all_of(arguments, |argument| match argument {
            Expr::Lit(ExprLit { lit: Lit::Str(scope), .. }) => check_scope(scope),
            other => Err(Error::new_spanned(other, HOW)),
        })?;
        Ok(Self { any, scopes })
    }
}

impl Parse for FunctionArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const HOW: &str = "expected the path of a function of &Claims: #[require(may_refund)]";
        if input.is_empty() {
            return Err(Error::new(input.span(), HOW));
        }
        let argument: Expr = input.parse()?;
        if !input.is_empty() {
            return Err(input.error("one function; further ones in attributes of their own"));
        }
        match argument {
            Expr::Path(ExprPath { qself: None, path, .. }) => Ok(Self { function: path }),
            other => Err(Error::new_spanned(other, HOW)),
        }
    }
}

/// `any(…)` or `all(…)`, not empty.
fn any_or_all(call: ExprCall) -> Result<(bool, Punctuated<Expr, Token![,]>)> {
    let any = match &*call.func {
        Expr::Path(ExprPath { path, .. }) if path.is_ident("any") => true,
        Expr::Path(ExprPath { path, .. }) if path.is_ident("all") => false,
        other => return Err(Error::new_spanned(other, "expected any(…) or all(…)")),
    };
    if call.args.is_empty() {
        return Err(Error::new(
            call.span(),
            "an empty list would refuse every request; name at least one value",
        ));
    }
    Ok((any, call.args))
}

/// Every item read, or every mistake.
fn all_of<T>(
    items: Punctuated<Expr, Token![,]>,
    read: impl Fn(Expr) -> Result<T>,
) -> Result<Vec<T>> {
    let mut values = Vec::new();
    let mut errors: Option<Error> = None;
    for item in items {
        match read(item) {
            Ok(value) => values.push(value),
            Err(error) => {
                errors = Some(match errors {
                    None => error,
                    Some(earlier) => combine(earlier, error),
                });
            }
        }
    }
    errors.map_or(Ok(values), Err)
}

fn combine(mut one: Error, other: Error) -> Error {
    one.combine(other);
    one
}

/// A claim's name, or a JSON pointer (RFC 6901 §3).
fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    if text.is_empty() {
        return Err(Error::new_spanned(name, "a claim has a name"));
    }
    let is_pointer = text.starts_with('/');
    if is_pointer && text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(Error::new_spanned(
            name,
            "not a JSON pointer: a `~` in a name is written `~0`, a `/` is written `~1`",
        ));
    }
    Ok(())
}

/// `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3)
fn check_scope(scope: LitStr) -> Result<LitStr> {
    let text = scope.value();
    if text.is_empty() {
        return Err(Error::new_spanned(scope, "a scope has a name"));
    }
    if text.contains(' ') {
        return Err(Error::new_spanned(
            scope,
            "a scope holds no spaces; several are written \"a\", \"b\"",
        ));
    }
    if !text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(Error::new_spanned(
            scope,
            "a scope is printable ASCII without quotes and backslashes (RFC 6749 §3.3)",
        ));
    }
    Ok(scope)
}
