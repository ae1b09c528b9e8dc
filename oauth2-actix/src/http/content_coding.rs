//! The content codings of a fetched document (RFC 9110 §8.4).

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

/// The value of `Accept-Encoding` (RFC 9110 §12.5.3). Without this header, a server may use any coding.
pub(crate) const ACCEPTED: &str = "gzip";

/// A coding that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Gzip,
    /// The `zlib` format. Some servers send raw DEFLATE data under this name.
    Deflate,
}

/// The reason why a document cannot be decoded.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodingError {
    #[error("the document has the content coding {0:?}, but only gzip and deflate are supported")]
    Unknown(String),
    #[error("the document has more than {MAX_CODINGS} content codings")]
    TooMany,
    #[error("the document cannot be decoded as {0}, which its `Content-Encoding` names")]
    Broken(&'static str),
    #[error("the decoded document is larger than {0} bytes")]
    TooLarge(usize),
}

/// Returns the codings of a response, in the order in which they must be decoded.
pub(crate) fn read(headers: &HeaderMap) -> Result<Vec<Coding>, CodingError> {
    let mut codings: Vec<Coding> = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => {}
                // `x-gzip` is the same coding (RFC 9110 §8.4.1.3).
                "gzip" | "x-gzip" => codings.push(Coding::Gzip),
                "deflate" => codings.push(Coding::Deflate),
                other => {
                    return Err(CodingError::Unknown(other.chars().take(MAX_SHOWN).collect()));
                }
            }
        }
    }
    if codings.len() > MAX_CODINGS {
        return Err(CodingError::TooMany);
    }
    // The header lists them in the order in which they were applied.
    codings.reverse();
    Ok(codings)
}

/// Decodes a document. Neither the result nor any intermediate document may be larger than `limit`.
pub(crate) fn decode(
    codings: &[Coding],
    encoded: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, CodingError> {
    let mut document = encoded;
    for (index, coding) in codings.iter().enumerate() {
        // A server and a proxy may both name a coding that only one of them has applied.
        let is_repeated = codings[..index].contains(coding);
        if !is_repeated || coding.is_marked(&document) {
            document = coding.decode(&document, limit)?;
        }
    }
    Ok(document)
}

impl Coding {
    /// Decodes a document of at most `limit` bytes, and stops as soon as it is larger.
    fn decode(self, encoded: &[u8], limit: usize) -> Result<Vec<u8>, CodingError> {
        let mut decoded = Vec::new();
        let longest = limit as u64 + 1;
        let result = match self {
            Self::Gzip => MultiGzDecoder::new(encoded).take(longest).read_to_end(&mut decoded),
            Self::Deflate if is_zlib(encoded) => {
                ZlibDecoder::new(encoded).take(longest).read_to_end(&mut decoded)
            }
            Self::Deflate => DeflateDecoder::new(encoded).take(longest).read_to_end(&mut decoded),
        };
        match result {
            Ok(_) if decoded.len() > limit => Err(CodingError::TooLarge(limit)),
            Ok(_) => Ok(decoded),
            Err(_) => Err(CodingError::Broken(self.name())),
        }
    }

    /// Returns whether the bytes begin as in this coding. No key document without a coding does.
    fn is_marked(self, encoded: &[u8]) -> bool {
        match self {
            Self::Gzip => encoded.starts_with(b"\x1f\x8b"),
            Self::Deflate => is_zlib(encoded),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Returns whether the bytes begin with a header of the `zlib` format (RFC 1950 §2.2).
fn is_zlib(encoded: &[u8]) -> bool {
    match encoded {
        [cmf, flg, ..] => cmf & 0x0f == 8 && u16::from_be_bytes([*cmf, *flg]).is_multiple_of(31),
        _ => false,
    }
}

const MAX_CODINGS: usize = 2;

/// The maximum characters of a coding's name that the log shows.
const MAX_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use reqwest::header::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).expect("writes");
        encoder.finish().expect("ends")
    }

    #[test]
    fn listed_codings_are_decoded_in_reverse() {
        let read = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            read(&headers)
        };
        assert_eq!(read(&[]), Ok(vec![]));
        assert_eq!(read(&["identity"]), Ok(vec![]));
        assert_eq!(read(&[""]), Ok(vec![]));
        assert_eq!(read(&["GZip"]), Ok(vec![Coding::Gzip]));
        assert_eq!(read(&["x-gzip"]), Ok(vec![Coding::Gzip]));
        assert_eq!(read(&["gzip", "x-gzip"]), Ok(vec![Coding::Gzip, Coding::Gzip]));
        assert_eq!(read(&["deflate , gzip"]), Ok(vec![Coding::Gzip, Coding::Deflate]));
        assert_eq!(read(&["gzip,deflate,gzip"]), Err(CodingError::TooMany));
        assert_eq!(read(&["br"]), Err(CodingError::Unknown("br".to_owned())));
        assert_eq!(read(&["gzip", "zstd"]), Err(CodingError::Unknown("zstd".to_owned())));
    }

    #[test]
    fn documents_are_decoded_up_to_the_limit() {
        let document = b"[1, 2, 3]".repeat(100);
        let zlib = {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&document).expect("writes");
            encoder.finish().expect("ends")
        };
        let raw = {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&document).expect("writes");
            encoder.finish().expect("ends")
        };
        let encoded = gzip(&document);
        for (coding, encoded) in
            [(Coding::Gzip, &encoded), (Coding::Deflate, &zlib), (Coding::Deflate, &raw)]
        {
            assert_eq!(coding.decode(encoded, document.len()).as_ref(), Ok(&document));
            let limit = document.len() - 1;
            assert_eq!(coding.decode(encoded, limit), Err(CodingError::TooLarge(limit)));
            let cut = &encoded[..encoded.len() - 9];
            assert_eq!(coding.decode(cut, 1000), Err(CodingError::Broken(coding.name())));
            assert_eq!(coding.decode(b"{}", 1000), Err(CodingError::Broken(coding.name())));
            assert_eq!(coding.decode(b"", 1000), Err(CodingError::Broken(coding.name())));
        }
        // Several gzip members in sequence are one document (RFC 1952 §2.2).
        let (head, tail) = document.split_at(10);
        let members = [gzip(head), gzip(tail)].concat();
        assert_eq!(Coding::Gzip.decode(&members, 1000).as_ref(), Ok(&document));
        // A coding that is listed twice is decoded as often as it was applied.
        let twice = [Coding::Gzip, Coding::Gzip];
        assert_eq!(decode(&twice, gzip(&document), 1000).as_ref(), Ok(&document));
        assert_eq!(decode(&twice, gzip(&gzip(&document)), 1000).as_ref(), Ok(&document));
    }

    #[test]
    fn decompression_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        assert!(bomb.len() < 128 * 1024);
        assert_eq!(Coding::Gzip.decode(&bomb, 1000), Err(CodingError::TooLarge(1000)));
    }
}
