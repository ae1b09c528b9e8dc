//! Parses the arguments of the attributes. Every error keeps its span.

use syn::{
    Error, Expr, ExprArray, ExprCall, ExprLit, ExprPath, ExprUnary, Lit, LitBool, LitStr, Path,
    Result, Token, UnOp,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
    spanned::Spanned,
};

/// `#[require_claim("name")]`, `("name", value)`, `("name", any_of(…))`, `("name", all_of(…))`.
pub(crate) struct ClaimArgs {
    pub(crate) name: Text,
    pub(crate) values: Values,
}

/// A text that is known at compile time.
pub(crate) enum Text {
    Literal(LitStr),
    Constant(Path),
}

/// The values that a claim may have.
pub(crate) enum Values {
    Present,
    One(ClaimValue),
    Any(Vec<ClaimValue>),
    All(Vec<ClaimValue>),
}

/// A value that a claim is compared with.
pub(crate) enum ClaimValue {
    Text(LitStr),
    Integer(i64),
    Bool(LitBool),
    Constant(Path),
}

/// `#[require_scope("a", "b")]`, `(any_of("a", "b"))`, `(all_of("a", "b"))`.
pub(crate) struct ScopeArgs {
    pub(crate) combine: Combine,
    pub(crate) scopes: Vec<Text>,
}

/// `#[require_policy("back-office")]`.
pub(crate) struct PolicyArgs {
    pub(crate) name: Text,
}

/// `#[require_acr("urn:example:otp")]`, also with several values.
pub(crate) struct AcrArgs {
    pub(crate) values: Vec<Text>,
}

/// `#[require_auth_age(300)]`.
pub(crate) enum AuthAgeArgs {
    Seconds(u64),
    Constant(Path),
}

/// `#[require_actor("billing-agent")]`, also with several subjects.
pub(crate) struct ActorArgs {
    pub(crate) subjects: Vec<Text>,
}

/// `#[require_authorization_detail("payment_initiation", path::to::function)]`.
pub(crate) struct DetailArgs {
    pub(crate) detail_type: Text,
    pub(crate) function: Path,
}

/// How several values are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combine {
    Any,
    All,
}

/// `#[require(path::to::function)]`.
pub(crate) struct FunctionArgs {
    pub(crate) function: Path,
}

impl Parse for ClaimArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected the name of a claim, then the value that it must have: \
                           #[require_claim(\"role\", \"admin\")]";
        let mut arguments = arguments(input, EXPECTED)?.into_iter();
        let name = match arguments.next() {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) => {
                check_name(&name).map(|()| Text::Literal(name))
            }
            Some(Expr::Path(ExprPath { qself: None, path, .. })) => Ok(Text::Constant(path)),
            Some(other) => Err(Error::new_spanned(other, EXPECTED)),
            None => Err(Error::new(input.span(), EXPECTED)),
        };
        let surplus = |surplus| {
            let expected = "too many arguments: expected one value, or several as any_of(\"a\", \"b\") or \
                       all_of(\"a\", \"b\")";
            Err(Error::new_spanned(surplus, expected))
        };
        let values = arguments.next().map_or(Ok(Values::Present), Values::read);
        let end = arguments.next().map_or(Ok(()), surplus);
        // Reports all errors at once.
        let ((name, end), values) = both(both(name, end), values)?;
        let () = end;
        Ok(Self { name, values })
    }
}

impl Values {
    fn read(value: Expr) -> Result<Self> {
        let Expr::Call(call) = value else { return ClaimValue::read(value).map(Self::One) };
        let (combine, values) = combined(call)?;
        let values = read_each(values, ClaimValue::read)?;
        Ok(match combine {
            Combine::Any => Self::Any(values),
            Combine::All => Self::All(values),
        })
    }
}

impl ClaimValue {
    fn read(value: Expr) -> Result<Self> {
        let error = |spanned: &dyn quote::ToTokens| {
            Err(Error::new_spanned(
                spanned,
                "expected a string, an integer, a bool or a constant: \"admin\", 7, true, ADMIN",
            ))
        };
        let (negative, literal) = match value {
            Expr::Lit(ExprLit { lit, .. }) => (false, lit),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), ref expr, .. }) => match &**expr {
                Expr::Lit(ExprLit { lit: lit @ Lit::Int(_), .. }) => (true, lit.clone()),
                _ => return error(&value),
            },
            Expr::Path(ExprPath { qself: None, path, .. }) => return Ok(Self::Constant(path)),
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
        const EXPECTED: &str = "expected scopes: #[require_scope(\"orders:read\", \"orders:write\")] \
                           for all of them, or #[require_scope(any_of(\"a\", \"b\"))] for one";
        let mut arguments = arguments(input, EXPECTED)?;
        let mut combine = Combine::All;
        if arguments.len() == 1
            && let Some(Expr::Call(call)) = arguments.first()
        {
            (combine, arguments) = combined(call.clone())?;
        } else {
            arguments = elements(arguments);
        }
        if arguments.is_empty() {
            return Err(Error::new(input.span(), EXPECTED));
        }
        let scopes = read_each(arguments, |argument| match argument {
            Expr::Lit(ExprLit { lit: Lit::Str(scope), .. }) => {
                check_scope(&scope).map(|()| Text::Literal(scope))
            }
            Expr::Path(ExprPath { qself: None, path, .. }) => Ok(Text::Constant(path)),
            other => Err(Error::new_spanned(other, EXPECTED)),
        })?;
        Ok(Self { combine, scopes })
    }
}

impl Parse for PolicyArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected the name of a policy: #[require_policy(\"back-office\")]";
        let mut arguments = arguments(input, EXPECTED)?.into_iter();
        let name = match arguments.next() {
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) if name.value().is_empty() => {
                Err(Error::new_spanned(name, "the name of the policy is empty"))
            }
            Some(Expr::Lit(ExprLit { lit: Lit::Str(name), .. })) => Ok(Text::Literal(name)),
            Some(Expr::Path(ExprPath { qself: None, path, .. })) => Ok(Text::Constant(path)),
            Some(other) => Err(Error::new_spanned(other, EXPECTED)),
            None => Err(Error::new(input.span(), EXPECTED)),
        };
        let end = arguments.next().map_or(Ok(()), |surplus| {
            let expected = "expected one policy; write one attribute for each";
            Err(Error::new_spanned(surplus, expected))
        });
        both(name, end).map(|(name, ())| Self { name })
    }
}

impl Parse for FunctionArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected the path of a function that takes &Claims: \
                           #[require(may_refund)]";
        if input.is_empty() {
            return Err(Error::new(input.span(), EXPECTED));
        }
        let argument: Expr = input.parse()?;
        if !input.is_empty() {
            return Err(input.error("expected one function; write one attribute for each"));
        }
        match argument {
            Expr::Path(ExprPath { qself: None, path, .. }) => Ok(Self { function: path }),
            other => Err(Error::new_spanned(other, EXPECTED)),
        }
    }
}

impl Parse for AcrArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected values of `acr`, in the order of preference: \
                           #[require_acr(\"urn:example:hardware-key\", \"urn:example:otp\")]";
        let arguments = elements(arguments(input, EXPECTED)?);
        if arguments.is_empty() {
            return Err(Error::new(input.span(), EXPECTED));
        }
        read_each(arguments, |argument| read_text(argument, EXPECTED, check_acr))
            .map(|values| Self { values })
    }
}

impl Parse for AuthAgeArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected a number of seconds: #[require_auth_age(300)]";
        let mut arguments = arguments(input, EXPECTED)?.into_iter();
        let age = match arguments.next() {
            Some(Expr::Lit(ExprLit { lit: Lit::Int(digits), .. }))
                if ["", "u64"].contains(&digits.suffix()) =>
            {
                match digits.base10_parse::<u64>() {
                    Ok(0) => Err(Error::new_spanned(
                        digits,
                        "the age of the authentication is zero; expected a number of seconds",
                    )),
                    Ok(seconds) => Ok(Self::Seconds(seconds)),
                    Err(_) => {
                        Err(Error::new_spanned(digits, "the integer does not fit in 64 bits"))
                    }
                }
            }
            Some(Expr::Path(ExprPath { qself: None, path, .. })) => Ok(Self::Constant(path)),
            Some(other) => Err(Error::new_spanned(other, EXPECTED)),
            None => Err(Error::new(input.span(), EXPECTED)),
        };
        let end = arguments
            .next()
            .map_or(Ok(()), |surplus| Err(Error::new_spanned(surplus, "expected one number")));
        both(age, end).map(|(age, ())| age)
    }
}

impl Parse for ActorArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected the subjects of actors, one of which acts: \
                           #[require_actor(\"billing-agent\")]";
        let arguments = elements(arguments(input, EXPECTED)?);
        if arguments.is_empty() {
            return Err(Error::new(input.span(), EXPECTED));
        }
        let check = |subject: &LitStr| not_empty(subject, "the subject of the actor is empty");
        read_each(arguments, |argument| read_text(argument, EXPECTED, check))
            .map(|subjects| Self { subjects })
    }
}

impl Parse for DetailArgs {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        const EXPECTED: &str = "expected a type and the path of a function that takes \
                           &serde_json::Value and returns a bool: \
                           #[require_authorization_detail(\"payment_initiation\", is_small)]";
        let mut arguments = arguments(input, EXPECTED)?.into_iter();
        let check =
            |text: &LitStr| not_empty(text, "the type of the authorization detail is empty");
        let detail_type = match arguments.next() {
            Some(argument) => read_text(argument, EXPECTED, check),
            None => Err(Error::new(input.span(), EXPECTED)),
        };
        let function = match arguments.next() {
            Some(Expr::Path(ExprPath { qself: None, path, .. })) => Ok(path),
            Some(other) => Err(Error::new_spanned(other, EXPECTED)),
            None => Err(Error::new(input.span(), EXPECTED)),
        };
        let end = arguments.next().map_or(Ok(()), |surplus| {
            Err(Error::new_spanned(surplus, "expected one type and one function"))
        });
        let ((detail_type, end), function) = both(both(detail_type, end), function)?;
        let () = end;
        Ok(Self { detail_type, function })
    }
}

/// Reads a literal, which is checked, or a constant.
fn read_text(
    argument: Expr,
    expected: &str,
    check: impl Fn(&LitStr) -> Result<()>,
) -> Result<Text> {
    match argument {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            check(&text).map(|()| Text::Literal(text))
        }
        Expr::Path(ExprPath { qself: None, path, .. }) => Ok(Text::Constant(path)),
        other => Err(Error::new_spanned(other, expected)),
    }
}

fn not_empty(text: &LitStr, problem: &str) -> Result<()> {
    if text.value().is_empty() { Err(Error::new_spanned(text, problem)) } else { Ok(()) }
}

/// Parses the arguments of an attribute, at least one.
fn arguments(input: ParseStream<'_>, expected: &str) -> Result<Punctuated<Expr, Token![,]>> {
    if input.is_empty() {
        return Err(Error::new(input.span(), expected));
    }
    Punctuated::parse_terminated(input).map_err(|error| Error::new(error.span(), expected))
}

/// Parses `any_of(…)` or `all_of(…)`, not empty, with values or one array of them.
fn combined(call: ExprCall) -> Result<(Combine, Punctuated<Expr, Token![,]>)> {
    let combine = match &*call.func {
        Expr::Path(ExprPath { path, .. }) if path.is_ident("any_of") => Combine::Any,
        Expr::Path(ExprPath { path, .. }) if path.is_ident("all_of") => Combine::All,
        other => return Err(Error::new_spanned(other, "expected any_of(…) or all_of(…)")),
    };
    let span = call.span();
    let values = elements(call.args);
    if values.is_empty() {
        return Err(Error::new(
            span,
            "an empty list rejects every request; expected at least one value",
        ));
    }
    Ok((combine, values))
}

/// Returns the elements of the only value if that is an array, as in the functions of the same names.
fn elements(values: Punctuated<Expr, Token![,]>) -> Punctuated<Expr, Token![,]> {
    match values.first() {
        Some(Expr::Array(ExprArray { elems, .. })) if values.len() == 1 => elems.clone(),
        _ => values,
    }
}

/// Reads every item. Returns all errors if there are any.
fn read_each<T>(
    items: Punctuated<Expr, Token![,]>,
    read: impl Fn(Expr) -> Result<T>,
) -> Result<Vec<T>> {
    let mut all = Ok(Vec::new());
    for item in items {
        all = both(all, read(item)).map(|(mut values, value)| {
            values.push(value);
            values
        });
    }
    all
}

/// Returns both results, or the errors of both.
pub(crate) fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(mut error), Err(other)) => {
            error.combine(other);
            Err(error)
        }
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// Checks a claim's name, or a JSON pointer (RFC 6901 §3). `__private::claim_name` checks constants.
fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    if text.is_empty() {
        return Err(Error::new_spanned(
            name,
            "the claim name is empty; expected a name or a JSON pointer",
        ));
    }
    let is_pointer = text.starts_with('/');
    if is_pointer && text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
        return Err(Error::new_spanned(
            name,
            "the JSON pointer is invalid; in a name, `~` is written `~0` and `/` is written `~1`",
        ));
    }
    Ok(())
}

/// Checks `scope-token = 1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3). `__private::scope` checks
/// constants.
fn check_scope(scope: &LitStr) -> Result<()> {
    let problem = if scope.value().is_empty() {
        "the scope is empty; expected a scope such as `orders:read`"
    } else if scope.value().contains(' ') {
        "the scope contains a space; several scopes are written \"a\", \"b\""
    } else if !is_word(scope) {
        "the scope is invalid; expected printable ASCII without quotes and backslashes (RFC 6749 §3.3)"
    } else {
        return Ok(());
    };
    Err(Error::new_spanned(scope, problem))
}

/// Checks a value of `acr_values`, which are separated by spaces (RFC 9470 §3). `__private::acr` checks constants.
fn check_acr(value: &LitStr) -> Result<()> {
    let problem = if value.value().is_empty() {
        "the value of `acr` is empty; expected a value such as `urn:example:otp`"
    } else if value.value().contains(' ') {
        "the value of `acr` contains a space; several values are written \"a\", \"b\""
    } else if !is_word(value) {
        "the value of `acr` is invalid; expected printable ASCII without quotes and backslashes (RFC 9470 §3)"
    } else {
        return Ok(());
    };
    Err(Error::new_spanned(value, problem))
}

/// Returns whether a text is one or more printable ASCII characters without spaces, quotes and backslashes.
fn is_word(text: &LitStr) -> bool {
    let text = text.value();
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
