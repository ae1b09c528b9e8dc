//! The arguments of the command `api-key`.

use std::ffi::OsString;

use crate::Action;

/// Reads what follows `api-key`: `new --prefix PREFIX`, in any order.
pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Action, String> {
    let (mut is_new, mut prefix) = (false, None);
    while let Some(argument) = arguments.next() {
        let argument = argument.to_string_lossy();
        let value = match &*argument {
            "new" if !is_new => {
                is_new = true;
                continue;
            }
            "--help" => return Ok(Action::Help),
            "--version" => return Ok(Action::Version),
            "--prefix" => arguments.next().map(|value| value.to_string_lossy().into_owned()),
            other => match other.strip_prefix("--prefix=") {
                Some(value) => Some(value.to_owned()),
                None => {
                    return Err(format!("unknown argument `{other}` of `api-key`; {EXPECTED}"));
                }
            },
        };
        let value = value.ok_or_else(|| format!("`--prefix` has no value; {EXPECTED}"))?;
        if prefix.replace(value).is_some() {
            return Err("`--prefix` is given twice; expected it once".to_owned());
        }
    }
    match (is_new, prefix) {
        (true, Some(prefix)) => Ok(Action::NewApiKey(prefix)),
        (true, None) => Err(format!("there is no prefix; {EXPECTED}")),
        (false, _) => Err(format!("`api-key` has no `new`; {EXPECTED}")),
    }
}

const EXPECTED: &str = "expected `api-key new --prefix PREFIX`";
