use std::error::Error;

use oauth2_actix::{
    OAuth2, Provider,
    testing::{IdentityProvider, RunningIdentityProvider},
};

/// Trusts an identity provider in this process, and prints a token for a fixed user. The provider stops
/// when it is dropped.
fn development_policy() -> Result<(OAuth2, RunningIdentityProvider), Box<dyn Error>> {
    let idp = IdentityProvider::start("orders-api")?;
    let provider = Provider::new().issuer(idp.issuer()).audience("orders-api").keys(idp.jwks_url());
    let oauth2 =
        OAuth2::builder().provider("development", provider).key_refresh_minutes(5).build()?;
    let ann = idp.token().claim("sub", "ann").claim("scope", "orders:read orders:write");
    println!("TOKEN={}", ann.expires_in(86_400).sign(&idp.key()));
    Ok((oauth2, idp))
}

mod tests {
    use super::*;

    #[actix_web::test]
    async fn fixed_user_is_accepted() -> Result<(), Box<dyn Error>> {
        let (oauth2, idp) = development_policy()?;
        let claims = oauth2.verify(&idp.token().claim("sub", "ann").sign(&idp.key())).await?;
        assert_eq!(claims.subject(), Some("ann"));
        Ok(())
    }
}
