use actix_web::get;
use oauth2_actix::{
    require_claim,
    requirement::{self, ClaimValue, ClaimValues, Requirement},
};
use serde::{Deserialize, Deserializer, de::Error};

#[get("/newsletter")]
#[require_claim("email_verified", any_of(true, "true"))]
async fn newsletter() -> &'static str {
    "subscribed"
}

/// The same as a value.
fn verified() -> Requirement {
    requirement::claim(
        "email_verified",
        ClaimValues::any_of([ClaimValue::from(true), ClaimValue::from("true")]),
    )
}

/// The same as a field.
#[derive(Deserialize)]
struct Contact {
    email: String,
    #[serde(deserialize_with = "bool_or_text")]
    email_verified: bool,
}

fn bool_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum BoolOrText {
        Bool(bool),
        Text(String),
    }
    match BoolOrText::deserialize(deserializer)? {
        BoolOrText::Bool(value) => Ok(value),
        BoolOrText::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

mod tests {
    use actix_web::{App, test};
    use oauth2_actix::testing;
    use serde_json::json;

    use super::*;
    use crate::kit;

    #[actix_web::test]
    async fn true_and_its_text_are_accepted() {
        let app = test::init_service(App::new().wrap(kit::oauth2()).service(newsletter)).await;
        for (value, is_verified) in [
            (json!(true), true),
            (json!("true"), true),
            (json!(false), false),
            (json!("false"), false),
            (json!("yes"), false),
        ] {
            let claims = json!({"email": "ann@example.com", "email_verified": value});
            let request = kit::get_as("/newsletter", &claims).to_request();
            let status = if is_verified { 200 } else { 403 };
            assert_eq!(test::call_service(&app, request).await.status(), status, "{value}");
            let claims = testing::claims(claims);
            assert_eq!(claims.satisfies(&verified()), is_verified, "{value}");
            let contact = claims.parse::<Contact>();
            assert_eq!(contact.is_ok_and(|contact| contact.email_verified), is_verified, "{value}");
        }
        let contact = testing::claims(json!({"email": "a@b.example", "email_verified": "true"}));
        assert_eq!(contact.parse::<Contact>().expect("it fits").email, "a@b.example");
    }
}
