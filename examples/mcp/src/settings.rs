//! The settings, from environment variables.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Where the server listens, what it is called, and whom it trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `LISTEN`: the address to listen on; 127.0.0.1 by default.
    pub listen: IpAddr,
    /// `PORT`: 8080 by default; 0 is any free port.
    pub port: u16,
    /// `RESOURCE`: the URL that clients use, such as `https://orders.example.com/mcp`; by default that of the listener.
    pub resource: Option<String>,
    /// `ISSUER`: the identity provider; by default an embedded one, which listens on the next port.
    pub issuer: Option<String>,
    /// `LEEWAY_SECONDS`: how long an expired token is still accepted; the default of the crate if absent.
    pub leeway: Option<Duration>,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    ///
    /// A variable whose value is not of its form.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        fn parsed<T: std::str::FromStr>(
            name: &str,
            value: Option<String>,
            expected: &str,
        ) -> Result<Option<T>, String> {
            let wrong = |text: &String| format!("{name} is {text:?}; expected {expected}");
            value.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
        }
        let read = |name: &str| variable(name).filter(|text| !text.is_empty());
        let port = parsed("PORT", read("PORT"), "a number from 0 to 65535")?;
        let listen = parsed("LISTEN", read("LISTEN"), "an IP address")?;
        let leeway: Option<u32> =
            parsed("LEEWAY_SECONDS", read("LEEWAY_SECONDS"), "a number of seconds")?;
        Ok(Self {
            listen: listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: port.unwrap_or(8080),
            resource: read("RESOURCE"),
            issuer: read("ISSUER"),
            leeway: leeway.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn settings_without_variables_are_the_defaults() {
        let settings = read(&[]).expect("no variables");
        assert_eq!((settings.listen.to_string().as_str(), settings.port), ("127.0.0.1", 8080));
        assert_eq!((settings.resource, settings.issuer, settings.leeway), (None, None, None));
    }

    #[test]
    fn wrong_variable_is_an_error_with_the_expected_value() {
        let wrong =
            [("PORT", "x"), ("PORT", "65536"), ("LISTEN", "localhost"), ("LEEWAY_SECONDS", "-1")];
        for (name, value) in wrong {
            let error = read(&[(name, value)]).expect_err(value);
            assert!(error.starts_with(&format!("{name} is {value:?}; expected ")), "{error}");
        }
    }
}
