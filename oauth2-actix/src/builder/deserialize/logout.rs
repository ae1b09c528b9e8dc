//! Reads the receivers of logouts.

use super::{Setting, Settings, input::Input, read_map, set};
use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, Faults},
        names,
    },
    logout::{BackchannelLogout, SecurityEvents},
};

impl Settings for BackchannelLogout {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        CLIENTS: client => |logout, input| {
            parties(input).map(|clients| logout.clients = clients)
        };
        PATH: path = text();
        END_ALL_SESSIONS: end_all_sessions = flag();
    };
}

impl Settings for SecurityEvents {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        AUDIENCES: audience => |events, input| {
            parties(input).map(|audiences| events.audiences = audiences)
        };
        PATH: path = text();
        AUTHORIZATION: authorization => |events, input| {
            set(events, Self::authorization, input.text()?)
        };
    };
}

pub(super) fn read_backchannel_logout(
    builder: &mut OAuth2Builder,
    input: Input<'_>,
) -> Result<(), ConfigError> {
    let mut logout = BackchannelLogout::new();
    read_map(&mut logout, input)?;
    builder.backchannel_logout = Some(logout);
    Ok(())
}

pub(super) fn read_security_events(
    builder: &mut OAuth2Builder,
    input: Input<'_>,
) -> Result<(), ConfigError> {
    let mut events = SecurityEvents::new();
    read_map(&mut events, input)?;
    builder.security_events = Some(events);
    Ok(())
}

/// Reads a map of provider names to a text or a list of texts.
fn parties(input: Input<'_>) -> Result<Vec<(String, String)>, ConfigError> {
    let mut faults = Faults::default();
    let mut parties = Vec::new();
    let field = input.field.clone();
    for (provider, value) in input.map()? {
        if value.is_null() {
            continue;
        }
        let input = Input { provider: Some(&provider), field: field.clone(), value };
        for text in faults.take(input.texts()).unwrap_or_default() {
            parties.push((provider.clone(), text));
        }
    }
    faults.into_result().map(|()| parties)
}
