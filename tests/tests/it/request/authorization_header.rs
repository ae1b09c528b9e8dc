//! The `Authorization` header (RFC 6750 §2.1, RFC 9110 §11.6.2).

use oauth2_actix_tests::client::{raw, raw_get};

use crate::response::responses::{assert_rejected, good, sign, start};

#[tokio::test]
async fn malformed_header_is_400() {
    let api = start();
    let token = sign(&good());
    let twice = format!("Authorization: Bearer {token}");
    for lines in [
        vec!["Authorization: Bearer".to_owned()],
        vec!["Authorization:".to_owned()],
        vec![format!("Authorization: Bearer {token} x")],
        vec![format!("Authorization: Bearer {token},{token}")],
        vec![format!("Authorization: Bearer {token}, Bearer {token}")],
        vec![format!("Authorization: Bearer\t{token}")],
        vec![format!("Authorization: Bearer \"{token}\"")],
        vec![twice.clone(), twice.clone()],
        vec![twice.clone(), "Authorization: Basic YTpi".to_owned()],
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let answer = raw(api.server().address(), &raw_get("/me", &lines));
        assert_rejected(
            &api,
            &answer,
            400,
            "invalid_request",
            "Send one access token, as Authorization: Bearer TOKEN.",
        )
        .await;
    }
    let mut request = raw_get("/me", &[]);
    request.truncate(request.len() - 2);
    request.extend(b"Authorization: Bearer \xff\xfe\r\n\r\n");
    assert_eq!(raw(api.server().address(), &request).status, 400);
}
