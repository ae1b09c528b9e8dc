//! How proxies write a certificate into a header.
//!
//! A value that has not exactly the form of its format is refused: two readers could understand it differently.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::certificate::ClientCertificate;

/// How a proxy writes the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A byte sequence of structured fields (RFC 9440 §2.2).
    Rfc9440,
    /// PEM (RFC 7468), percent-encoded.
    EscapedPem,
    /// DER in base64.
    Base64Der,
    /// One element of `x-forwarded-client-cert`.
    Xfcc,
}

impl Format {
    /// Reads a header's value that is not empty. None means that the client has no certificate; the error says what
    /// was expected.
    pub(crate) fn read(self, value: &str) -> Result<Option<ClientCertificate>, &'static str> {
        match self {
            Self::EscapedPem | Self::Base64Der if value == "-" => Ok(None),
            Self::Rfc9440 => byte_sequence(value).map(Some),
            Self::EscapedPem => escaped_pem(value).map(Some),
            Self::Base64Der => base64_der(value).map(Some),
            Self::Xfcc => xfcc(value).map(Some),
        }
    }
}

/// Reads a byte sequence of structured fields (RFC 9651 §3.3.5), without parameters.
fn byte_sequence(value: &str) -> Result<ClientCertificate, &'static str> {
    const EXPECTED: &str = "expected one certificate in DER as a byte sequence, such as \":MIIB…:\", without \
                            parameters (RFC 9440 §2.2)";
    let base64 = value.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or(EXPECTED)?;
    base64_der(base64).map_err(|_| EXPECTED)
}

fn base64_der(value: &str) -> Result<ClientCertificate, &'static str> {
    let der = BASE64_STANDARD.decode(value).ok();
    der.and_then(|der| ClientCertificate::from_der(&der).ok())
        .ok_or("expected one certificate in DER, in base64 with padding (RFC 4648 §4)")
}

fn escaped_pem(value: &str) -> Result<ClientCertificate, &'static str> {
    percent_decoded(value)
        .and_then(|pem| from_pem(&pem))
        .ok_or("expected one certificate in PEM (RFC 7468), percent-encoded")
}

/// Decodes `%XX`. A `+` stays what it is: it is a character of base64. The result is ASCII.
fn percent_decoded(value: &str) -> Option<String> {
    let mut decoded = String::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => hex_byte(bytes.next()?, bytes.next()?)?,
            byte => byte,
        };
        decoded.push(byte.is_ascii().then_some(char::from(byte))?);
    }
    Some(decoded)
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Reads the one block of a PEM text, which may end in a line break.
fn from_pem(pem: &str) -> Option<ClientCertificate> {
    let pem = pem.strip_suffix('\n').unwrap_or(pem);
    let pem = pem.strip_suffix('\r').unwrap_or(pem);
    let block = pem.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64 = block.strip_prefix("\r\n").or_else(|| block.strip_prefix('\n'))?;
    // The base64 of a second block would have to contain the hyphens of its borders.
    let base64: String = base64.chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
    ClientCertificate::from_der(&BASE64_STANDARD.decode(base64).ok()?).ok()
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads the one element of `x-forwarded-client-cert`: pairs of a key and a value, separated by semicolons. With
/// several elements, only the proxies know which of them is the client's, so that they are refused.
fn xfcc(value: &str) -> Result<ClientCertificate, &'static str> {
    const EXPECTED: &str =
        "expected one element with \"Hash\" or \"Cert\", and no second one of another proxy";
    let mut hash = None;
    let mut certificate = None;
    for (key, value) in pairs(value).ok_or(EXPECTED)? {
        let found = if key.eq_ignore_ascii_case("hash") {
            hash.replace(from_hex(&value).ok_or(EXPECTED)?)
        } else if key.eq_ignore_ascii_case("cert") {
            certificate.replace(escaped_pem(&value).map_err(|_| EXPECTED)?)
        } else {
            None
        };
        if found.is_some() {
            return Err(EXPECTED);
        }
    }
    match (hash, certificate) {
        (Some(hash), Some(certificate)) if hash != certificate => {
            Err("expected the same certificate in \"Hash\" and \"Cert\"")
        }
        (Some(certificate), _) | (None, Some(certificate)) => Ok(certificate),
        (None, None) => Err(EXPECTED),
    }
}

/// Splits an element into its pairs. None if it is malformed, or if there is a second element.
fn pairs(element: &str) -> Option<Vec<(&str, String)>> {
    let mut found = Vec::new();
    let mut rest = element;
    loop {
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = after.find([';', ',']).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        // Where a value contains a quotation mark or an equals sign, it is quoted.
        if !rest[key.len() + 1..].starts_with('"') && value.contains(['"', '=']) {
            return None;
        }
        found.push((key, value));
        if after.is_empty() {
            return Some(found);
        }
        rest = after.strip_prefix(';')?;
    }
}

/// Reads up to the quotation mark that closes the value. Returns the value without escapes, and what follows it.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            character => value.push(character),
        }
    }
    None
}

/// Reads a SHA-256 in hexadecimal.
fn from_hex(text: &str) -> Option<ClientCertificate> {
    let bytes = text.as_bytes();
    if bytes.len() != 64 {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = hex_byte(digits[0], digits[1])?;
    }
    Some(ClientCertificate::of_hash(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stands for a certificate: one DER sequence.
    const DER: [u8; 5] = [0x30, 0x03, 0x02, 0xff, 0xff];

    fn certificate() -> ClientCertificate {
        ClientCertificate::from_der(&DER).unwrap()
    }

    fn hex() -> String {
        certificate().sha256().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn base64() -> String {
        BASE64_STANDARD.encode(DER)
    }

    fn pem() -> String {
        format!("{BEGIN}\n{}\n{END}\n", base64())
    }

    fn escaped(text: &str) -> String {
        text.bytes()
            .map(|byte| match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
                byte => format!("%{byte:02X}"),
            })
            .collect()
    }

    fn accepts(format: Format, value: &str) {
        assert_eq!(format.read(value), Ok(Some(certificate())), "{value}");
    }

    fn refuses(format: Format, value: &str) {
        let expected = format.read(value).expect_err(value);
        assert!(expected.starts_with("expected "), "{expected}");
    }

    #[test]
    fn byte_sequence_is_read_strictly() {
        let base64 = base64();
        accepts(Format::Rfc9440, &format!(":{base64}:"));
        let malformed = [
            base64.clone(),
            format!(":{base64}"),
            format!("{base64}:"),
            format!(":{base64}:;a=1"),
            format!(":{base64}:, :{base64}:"),
            format!(":{base64}::{base64}:"),
            format!(" :{base64}:"),
            format!(":{}:", base64.trim_end_matches('=')),
            format!(":{base64}=:"),
            "::".into(),
            ":".into(),
            "-".into(),
            format!(":{}:", BASE64_STANDARD.encode(&DER[..4])),
            format!(":{}:", BASE64_STANDARD.encode([&DER[..], &[0]].concat())),
            format!("\"{base64}\""),
        ];
        for value in malformed {
            refuses(Format::Rfc9440, &value);
        }
    }

    #[test]
    fn base64_of_der_is_read_strictly() {
        let base64 = base64();
        accepts(Format::Base64Der, &base64);
        assert_eq!(Format::Base64Der.read("-"), Ok(None));
        // The last character has bits that no byte has.
        let with_bits = format!("{}9=", &base64[..base64.len() - 2]);
        assert_ne!(with_bits, base64);
        let malformed = [
            base64.trim_end_matches('=').to_owned(),
            base64.replace('/', "_"),
            with_bits,
            format!("{base64} {base64}"),
            format!("{base64},{base64}"),
            format!(":{base64}:"),
            base64.replace('=', "%3D"),
            BASE64_STANDARD.encode(&DER[..4]),
            BASE64_STANDARD.encode([&DER[..], &DER[..]].concat()),
        ];
        assert!(base64.contains('/') && base64.ends_with('='), "{base64}");
        for value in malformed {
            refuses(Format::Base64Der, &value);
        }
    }

    #[test]
    fn escaped_pem_with_one_block_is_accepted() {
        let pem = pem();
        for text in [&pem, pem.trim_end(), &pem.replace('\n', "\r\n")] {
            accepts(Format::EscapedPem, &escaped(text));
            accepts(Format::EscapedPem, &escaped(text).to_lowercase_escapes());
        }
        // Some load balancers do not encode the characters of base64.
        let partly = escaped(&pem).replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        accepts(Format::EscapedPem, &partly);
        assert_eq!(Format::EscapedPem.read("-"), Ok(None));
    }

    #[test]
    fn escaped_pem_that_is_not_one_block_is_refused() {
        let pem = pem();
        let base64 = base64();
        let malformed = [
            format!("{pem}{pem}"),
            format!("{pem}\n"),
            format!("\n{pem}"),
            format!("Subject: CN=client\n{pem}"),
            format!("{pem}{BEGIN}\n"),
            pem.replace("BEGIN CERTIFICATE", "BEGIN TRUSTED CERTIFICATE"),
            pem.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
            pem.replace(END, ""),
            format!("{BEGIN}{base64}\n{END}\n"),
            format!("{BEGIN}\n{base64} \n{END}\n"),
            format!("{BEGIN}\n{}\n{END}\n", base64.replace('=', "")),
            format!("{BEGIN}\n\n{END}\n"),
            format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(&DER[..4])),
            base64.clone(),
            format!("{BEGIN}\n{base64}\n{END}\n\u{e9}"),
        ];
        for text in malformed {
            refuses(Format::EscapedPem, &escaped(&text));
        }
        for value in ["%", "%4", "%zz", "%+1", "%C3%A9", " "] {
            refuses(Format::EscapedPem, value);
        }
        // Spaces instead of line breaks: a proxy that does not encode.
        refuses(Format::EscapedPem, &pem.replace('\n', " "));
    }

    #[test]
    fn one_element_of_envoy_is_accepted() {
        let (hash, cert) = (hex(), escaped(&pem()));
        for value in [
            format!("Hash={hash}"),
            format!("hash={}", hash.to_uppercase()),
            format!("Cert=\"{cert}\""),
            format!("By=spiffe://a/b;Hash={hash};Subject=\"CN=a,O=\\\"b; c\\\"\";URI=;DNS=a;DNS=b"),
            format!("Hash={hash};Cert=\"{cert}\";Chain=\"{cert}{cert}\""),
        ] {
            accepts(Format::Xfcc, &value);
        }
    }

    #[test]
    fn elements_of_envoy_that_are_ambiguous_are_refused() {
        let (hash, cert) = (hex(), escaped(&pem()));
        let other = hash
            .replace(&hash[..1], "x")
            .replace('x', if hash.starts_with('0') { "1" } else { "0" });
        for value in [
            format!("Hash={hash},Hash={hash}"),
            format!("Hash={hash},By=spiffe://proxy;Hash={other}"),
            format!("Hash={hash}, Hash={other}"),
            format!("Hash={hash};Hash={other}"),
            format!("Hash={hash};hash={hash}"),
            format!("Cert=\"{cert}\";Cert=\"{cert}\""),
            format!("Hash={other};Cert=\"{cert}\""),
            format!("Hash={}", &hash[1..]),
            format!("Hash={hash}00"),
            format!("Hash={}", "g".repeat(64)),
            format!("Hash=+{}", &hash[1..]),
            "By=spiffe://a/b;URI=spiffe://c/d".into(),
            format!("Subject=\"a\";Hash={hash};"),
            format!("Hash=\"{hash}"),
            format!("Subject=\"a\"Hash={hash}"),
            format!("Subject=a\"b;Hash={hash}"),
            format!(";Hash={hash}"),
            format!("={hash}"),
            hash.clone(),
            format!(" Hash={hash}"),
            format!("Subject=\"a\\\";Hash={hash}"),
            format!("Cert=\"{cert}{cert}\""),
            "-".into(),
        ] {
            refuses(Format::Xfcc, &value);
        }
    }

    trait Escapes {
        fn to_lowercase_escapes(&self) -> String;
    }

    impl Escapes for String {
        /// `%2b` instead of `%2B`.
        fn to_lowercase_escapes(&self) -> String {
            let mut parts = self.split('%');
            let first = parts.next().unwrap().to_owned();
            parts.fold(first, |text, part| {
                format!("{text}%{}{}", part[..2].to_lowercase(), &part[2..])
            })
        }
    }
}
