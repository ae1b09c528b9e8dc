//! Reads the settings of status lists.

use super::{Setting, Settings, input::Input, read_map, set};
use crate::config::{error::ConfigError, names, provider::Provider, status_list::StatusList};

impl Settings for StatusList {
    const SETTINGS: &'static [Setting<Self>] = settings! {
        HOSTS: hosts => |lists, input| input.separated().map(|hosts| lists.hosts = hosts);
        REQUIRED: required = flag();
        MAX_AGE_SECONDS: max_age = seconds();
        MAX_BYTES: max_bytes = number();
    };
}

pub(super) fn read(provider: &mut Provider, input: Input<'_>) -> Result<(), ConfigError> {
    let mut lists = StatusList::default();
    read_map(&mut lists, input)?;
    provider.status_list = Some(lists);
    Ok(())
}
