//! Reads the header in which a proxy sends the certificates of clients.

use super::{Choices, input::Input, read_map};
use crate::{
    builder::OAuth2Builder,
    config::{
        error::{ConfigError, ConfigErrorKind},
        names,
    },
    mtls::ForwardedCertificate,
};

/// The members of the setting.
#[derive(Default)]
pub(super) struct Forwarded {
    pub(super) format: Option<Format>,
    pub(super) header: Option<String>,
    pub(super) peers: Vec<String>,
    pub(super) secret_header: Option<String>,
    pub(super) secret: Option<String>,
}

/// The formats in which proxies write a certificate.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Rfc9440,
    Nginx,
    Haproxy,
    Envoy,
}

pub(super) const FORMATS: Choices<Format> = &[
    (&["rfc9440"], Format::Rfc9440),
    (&["nginx"], Format::Nginx),
    (&["haproxy"], Format::Haproxy),
    (&["envoy"], Format::Envoy),
];

pub(super) fn read(builder: &mut OAuth2Builder, input: Input<'_>) -> Result<(), ConfigError> {
    let mut read = Forwarded::default();
    read_map(&mut read, input)?;
    let fault = |kind, problem: &str| {
        Err(ConfigError::of_policy(names::FORWARDED_CERTIFICATE, problem).of_kind(kind))
    };
    let certificate = match (read.format, read.header) {
        (Some(Format::Rfc9440), None) => ForwardedCertificate::rfc9440(),
        (Some(Format::Envoy), None) => ForwardedCertificate::envoy(),
        (Some(Format::Nginx), Some(header)) => ForwardedCertificate::nginx(header),
        (Some(Format::Haproxy), Some(header)) => ForwardedCertificate::haproxy(header),
        (None, _) => {
            let problem = "`format` is missing; expected `rfc9440`, `nginx`, `haproxy` or `envoy`";
            return fault(ConfigErrorKind::Missing, problem);
        }
        (Some(Format::Nginx | Format::Haproxy), None) => {
            let problem =
                "`header` is missing; expected the name of the header that the proxy sets";
            return fault(ConfigErrorKind::Missing, problem);
        }
        (Some(Format::Rfc9440 | Format::Envoy), Some(_)) => {
            let problem = "`header` is set, and the format has a header of its own; expected none";
            return fault(ConfigErrorKind::Conflict, problem);
        }
    };
    let certificate =
        if read.peers.is_empty() { certificate } else { certificate.from_peers(read.peers) };
    let certificate = match (read.secret_header, read.secret) {
        (None, None) => certificate,
        (Some(header), Some(secret)) => certificate.with_secret_header(header, secret),
        _ => {
            let problem = "`secret_header` and `secret` belong together; expected both";
            return fault(ConfigErrorKind::Missing, problem);
        }
    };
    builder.forwarded_certificate = Some(certificate);
    Ok(())
}
