//! The hash of a certificate.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use openssl::sha::sha256;

/// The certificate that a client used in the TLS handshake, as its hash.
///
/// [`on_connect`](super::on_connect) stores it in the data of the connection, where a handler finds it:
///
/// ```
/// use actix_web::HttpRequest;
/// use oauth2_actix::mtls::ClientCertificate;
///
/// async fn certificate(request: HttpRequest) -> String {
///     match request.conn_data::<ClientCertificate>() {
///         Some(certificate) => certificate.x5t_s256(),
///         None => "no certificate".to_owned(),
///     }
/// }
/// ```
///
/// Behind a proxy that uses TLS to the server, that is the certificate of the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientCertificate([u8; 32]);

/// Bytes that are not one certificate in DER: see [`ClientCertificate::from_der`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are not one certificate; expected DER, without bytes before or after it")]
#[non_exhaustive]
pub struct NotACertificate;

impl ClientCertificate {
    /// Hashes a certificate in DER.
    ///
    /// For listeners with another TLS library, in the closure of `on_connect`:
    ///
    /// ```
    /// use std::any::Any;
    /// use actix_web::dev::Extensions;
    /// use oauth2_actix::mtls::ClientCertificate;
    ///
    /// # struct OtherStream;
    /// # impl OtherStream { fn peer_certificate_der(&self) -> Option<Vec<u8>> { None } }
    /// fn on_connect(connection: &dyn Any, extensions: &mut Extensions) {
    ///     let stream = connection.downcast_ref::<OtherStream>();
    ///     if let Some(der) = stream.and_then(OtherStream::peer_certificate_der)
    ///         && let Ok(certificate) = ClientCertificate::from_der(&der)
    ///     {
    ///         extensions.insert(certificate);
    ///     }
    /// }
    /// # assert!(ClientCertificate::from_der(b"no certificate").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// An error unless the bytes are one DER sequence and nothing else. What is in the sequence is not read.
    pub fn from_der(der: &[u8]) -> Result<Self, NotACertificate> {
        if is_one_sequence(der) { Ok(Self(sha256(der))) } else { Err(NotACertificate) }
    }

    /// Creates a certificate of which only the hash is known.
    pub(super) fn of_hash(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Returns the SHA-256 of the certificate in DER.
    ///
    /// ```
    /// use oauth2_actix::mtls::ClientCertificate;
    ///
    /// // Only the outer sequence is read: this one is empty.
    /// let certificate = ClientCertificate::from_der(&[0x30, 0x00])?;
    /// assert_eq!(certificate.sha256().len(), 32);
    /// # Ok::<(), oauth2_actix::mtls::NotACertificate>(())
    /// ```
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the SHA-256 of the certificate in base64url, as `x5t#S256` of a token's `cnf` has it
    /// ([RFC 8705 §3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)): 43 characters.
    ///
    /// ```
    /// use oauth2_actix::mtls::ClientCertificate;
    ///
    /// let certificate = ClientCertificate::from_der(&[0x30, 0x00])?;
    /// assert_eq!(certificate.x5t_s256(), "5PYNCqbX89O2pklLHIYbmfZJxvnsUauvIBsg8pcyfJU");
    /// # Ok::<(), oauth2_actix::mtls::NotACertificate>(())
    /// ```
    #[must_use]
    pub fn x5t_s256(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// Shows the hash, which is not a secret.
impl fmt::Debug for ClientCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ClientCertificate({})", self.x5t_s256())
    }
}

/// Returns whether the bytes are one DER sequence, with a length in its shortest form (X.690 §10.1), and no bytes
/// after it.
fn is_one_sequence(der: &[u8]) -> bool {
    const SEQUENCE: u8 = 0x30;
    let Some((&SEQUENCE, rest)) = der.split_first() else {
        return false;
    };
    let Some((&first, rest)) = rest.split_first() else {
        return false;
    };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    // The number of bytes that the length takes. 0 is the indefinite form, which DER does not have. A certificate of
    // more than three bytes of length is longer than any limit here.
    let count = usize::from(first & 0x7f);
    if !(1..=3).contains(&count) || rest.len() < count {
        return false;
    }
    let (length, content) = rest.split_at(count);
    let shortest = if count == 1 { length[0] >= 0x80 } else { length[0] != 0 };
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    shortest && content.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sequence_is_accepted_with_every_form_of_its_length() {
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            assert!(is_one_sequence(&sequence(length)), "{length}");
        }
    }

    #[test]
    fn truncated_or_lengthened_sequence_is_refused() {
        for length in [1, 0x7f, 0x80, 0xff, 0x100, 0x1_0000] {
            let der = sequence(length);
            for end in [0, 1, 2, 3, 4, der.len() - 1] {
                assert!(!is_one_sequence(&der[..end.min(der.len() - 1)]), "{length} {end}");
            }
            assert!(!is_one_sequence(&[&der[..], &[0]].concat()), "{length}");
            assert!(!is_one_sequence(&[&der[..], &der[..]].concat()), "{length}");
        }
    }

    #[test]
    fn length_that_is_not_der_is_refused() {
        let padded: [&[u8]; 6] = [
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x01, 0x00],
            &[0x30, 0x84, 0x00, 0x00, 0x00, 0x00],
            &[0x30, 0xff],
            &[0x31, 0x00],
        ];
        for der in padded {
            assert_eq!(ClientCertificate::from_der(der), Err(NotACertificate), "{der:02x?}");
        }
    }

    #[test]
    fn certificate_has_the_hash_of_its_der() {
        let der = sequence(300);
        let certificate = ClientCertificate::from_der(&der).unwrap();
        assert_eq!(*certificate.sha256(), sha256(&der));
        assert_eq!(format!("{certificate:?}").len(), "ClientCertificate()".len() + 43);
    }

    /// A sequence with so many bytes in it.
    fn sequence(length: usize) -> Vec<u8> {
        let bytes: Vec<u8> =
            length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        let mut der = vec![0x30];
        if length < 0x80 {
            der.push(u8::try_from(length).unwrap());
        } else {
            der.push(0x80 | u8::try_from(bytes.len()).unwrap());
            der.extend(bytes);
        }
        der.extend(std::iter::repeat_n(7, length));
        der
    }
}
