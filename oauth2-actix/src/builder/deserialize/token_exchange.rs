//! Reads the settings for token exchange.

use super::{Choices, input::Input, read_map};
use crate::config::{
    error::ConfigError,
    provider::Provider,
    token_exchange::{ExchangeGrant, RequestedTokenType, TokenExchange},
};

pub(super) const GRANTS: Choices<ExchangeGrant> = &[
    (&["token_exchange"], ExchangeGrant::TokenExchange),
    (&["on_behalf_of"], ExchangeGrant::OnBehalfOf),
];

pub(super) const TOKEN_TYPES: Choices<RequestedTokenType> =
    &[(&["access_token"], RequestedTokenType::AccessToken), (&["jwt"], RequestedTokenType::Jwt)];

pub(super) fn read(provider: &mut Provider, input: Input<'_>) -> Result<(), ConfigError> {
    let mut exchange = TokenExchange::default();
    read_map(&mut exchange, input)?;
    provider.token_exchange = Some(exchange);
    Ok(())
}
