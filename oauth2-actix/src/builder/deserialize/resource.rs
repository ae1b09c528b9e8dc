//! Reads protected resources: a text, a map of settings, or a list of both.

use serde_json::Value;

use super::input::Input;
use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind, Faults},
        names,
        resource::Resource,
    },
};

pub(super) fn read(builder: &mut OAuth2Builder, mut input: Input<'_>) -> Result<(), ConfigError> {
    input.parse_text_that_begins_with('[')?;
    input.parse_text_that_begins_with('{')?;
    let field = input.field.clone();
    let values = match input.value {
        Value::Array(values) => values,
        value => vec![value],
    };
    let mut faults = Faults::default();
    for value in values {
        let input = Input { provider: None, field: field.clone(), value };
        builder.resources.extend(faults.take(read_one(input)));
    }
    faults.into_result()
}

fn read_one(input: Input<'_>) -> Result<Resource, ConfigError> {
    let field = input.field.clone();
    if let Value::String(identifier) = input.value {
        return Ok(Resource::new(identifier));
    }
    let Value::Object(members) = input.value else {
        return Err(input.wrong_type("a URL, a map of settings or a list of these"));
    };
    let mut resource = Resource::default();
    let mut faults = Faults::default();
    for (name, value) in members {
        if value.is_null() {
            continue;
        }
        let input = Input { provider: None, field: format!("{field}.{name}").into(), value };
        let (setting, language) = match name.split_once('#') {
            None => (name.as_str(), None),
            Some((setting, language)) => (setting, Some(language)),
        };
        let result = match (setting, text_member(setting), language) {
            (_, Some(member), language) => input
                .text()
                .map(|text| resource = std::mem::take(&mut resource).text(member, language, text)),
            (names::IDENTIFIER, None, None) => input.text().map(|text| resource.identifier = text),
            (names::SCOPES, None, None) => {
                input.texts().map(|scopes| resource.scopes = Some(scopes))
            }
            (names::CHALLENGE_SCOPES, None, None) => {
                input.texts().map(|scopes| resource.challenge_scopes = Some(scopes))
            }
            (names::AUTHORIZATION_SERVERS, None, None) => {
                input.texts().map(|issuers| resource.authorization_servers = Some(issuers))
            }
            (names::MEMBERS, None, None) => input.map().map(|members| resource.members = members),
            _ => Err(input.fault(ConfigErrorKind::Unknown, "unknown setting of a resource")),
        };
        faults.take(result);
    }
    faults.into_result().map(|()| resource)
}

/// Returns the member of the metadata document that a text for people becomes.
fn text_member(setting: &str) -> Option<&'static str> {
    Some(match setting {
        names::NAME => "resource_name",
        names::DOCUMENTATION => "resource_documentation",
        names::POLICY => "resource_policy_uri",
        names::TERMS_OF_SERVICE => "resource_tos_uri",
        _ => return None,
    })
}
