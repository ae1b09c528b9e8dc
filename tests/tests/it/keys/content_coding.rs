//! Content codings of key documents (RFC 9110 §8.4).

use std::io::Write;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use oauth2_actix::{Keys, Provider, testing::Token};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    policy,
};
use serde_json::json;

use super::key_server_faults::{answering, assert_rejected, document, good, token, verify};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compressed_document_is_decoded() {
    let zlib = {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&document()).unwrap();
        encoder.finish().unwrap()
    };
    let with_bom = gzip(&[b"\xef\xbb\xbf".as_slice(), &document()].concat());
    let coded = |coding: &'static str| [("content-encoding", coding)];
    let twice = [("content-encoding", "gzip"), ("Content-Encoding", "gzip")];
    for (name, answer) in [
        ("gzip", Answer::body(200, &coded("gzip"), &gzip(&document()))),
        ("x-gzip", Answer::body(200, &coded("X-GZip"), &gzip(&document()))),
        ("with a byte order mark", Answer::body(200, &coded("gzip"), &with_bom)),
        ("deflate", Answer::body(200, &coded("deflate"), &zlib)),
        ("identity", Answer::body(200, &coded("identity"), &document())),
        ("deflate, gzip", Answer::body(200, &coded("deflate, gzip"), &gzip(&zlib))),
        ("named twice", Answer::body(200, &twice, &gzip(&document()))),
        ("applied twice", Answer::body(200, &twice, &gzip(&gzip(&document())))),
    ] {
        let (server, oauth2) = answering(answer);
        assert_eq!(verify(&oauth2, &token(good())).await, Ok(()), "{name}");
        let request = server.last_request();
        assert_eq!(request.matches("accept-encoding: gzip\r\n").count(), 1, "{request}");
    }
    // A metadata document too.
    let server = KeyServer::start(Answer::body(200, &coded("gzip"), &gzip(&document()))).unwrap();
    let issuer = server.url_of("");
    let about = json!({"issuer": issuer, "jwks_uri": server.url()}).to_string();
    let about = gzip(format!("\u{feff}{about}").as_bytes());
    server
        .answer_at("/.well-known/openid-configuration", Answer::body(200, &coded("gzip"), &about));
    let provider = Provider::new().issuer(&issuer).audience("api").keys(Keys::discover());
    let oauth2 = policy::builder().provider("p", provider).build().unwrap();
    assert_eq!(verify(&oauth2, &Token::new(&issuer, "api").sign(good())).await, Ok(()));
}

#[tokio::test]
async fn undecodable_document_is_rejected_with_its_coding() {
    for (coding, body, cause) in [
        ("br", document(), "content coding \"br\""),
        ("zstd", document(), "content coding \"zstd\""),
        ("x-unknown", document(), "content coding \"x-unknown\""),
        ("gzip, br", gzip(&document()), "content coding \"br\""),
        ("gzip", document(), "cannot be decoded as gzip"),
        ("gzip", gzip(&document())[..40].to_vec(), "cannot be decoded as gzip"),
        ("gzip", Vec::new(), "cannot be decoded as gzip"),
        ("deflate", document(), "cannot be decoded as deflate"),
        ("identity", gzip(&document()), "is compressed"),
        ("gzip", gzip(&vec![b' '; 1024 * 1024 + 1]), "larger than 1048576 bytes"),
        // The compressed body has one kilobyte for each megabyte.
        ("gzip", gzip(&vec![b' '; 32 << 20]), "larger than 1048576 bytes"),
        ("gzip, gzip", gzip(&gzip(&vec![b' '; 32 << 20])), "larger than 1048576 bytes"),
        ("gzip, deflate, gzip", document(), "more than 2 content codings"),
    ] {
        let answer = Answer::body(200, &[("content-encoding", coding)], &body);
        assert_rejected(coding, answer, cause).await;
    }
    let mut largest = document();
    largest.resize(1024 * 1024, b' ');
    let answer = Answer::body(200, &[("content-encoding", "gzip")], &gzip(&largest));
    let (_server, oauth2) = answering(answer);
    assert_eq!(verify(&oauth2, &token(good())).await, Ok(()));
}
