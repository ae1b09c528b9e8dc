//! Messages whose entries the store has not confirmed, and senders that disconnect.

use actix_web::{App, test};
use futures_util::{FutureExt, future, future::BoxFuture};
use oauth2_actix::{
    Algorithm, Provider,
    logout::BackchannelLogout,
    revocation::{DenyList, LoadedEntries, RevocationEntry, RevocationStore, StoreError},
};
use oauth2_actix_tests::{
    key_server::{Answer, KeyServer},
    keys::key,
    policy,
    wait::until,
};

use super::{Api, CLIENT, ISSUER, builder, logout, sign};

/// A store that never confirms an entry.
struct Down;

impl RevocationStore for Down {
    fn add(&self, _: RevocationEntry) -> BoxFuture<'static, Result<(), StoreError>> {
        future::ready(Err("the store is down".into())).boxed()
    }

    fn load(&self, _: Option<&[u8]>) -> BoxFuture<'static, Result<LoadedEntries, StoreError>> {
        future::ready(Ok(LoadedEntries::later(Vec::new(), [0]))).boxed()
    }
}

#[tokio::test]
async fn all_entries_are_in_force_here_while_the_store_is_down() {
    let logout = logout().end_all_sessions(true);
    let api =
        Api::start(builder().deny_list(DenyList::with_store(Down)).backchannel_logout(logout));
    until("the list is loaded", || api.oauth2.is_ready()).await;
    let of_the_session = sign(&api.access_token("ann", "s-1"));
    let of_the_subject = sign(&api.access_token("ann", "s-2"));
    let answer = api.post(&sign(&api.logout_token())).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "temporarily_unavailable"));
    assert!(!api.accepts(&of_the_session).await);
    assert!(!api.accepts(&of_the_subject).await);
}

/// The sender disconnects while the receiver waits for keys.
#[actix_web::test]
async fn message_of_a_sender_that_disconnects_is_processed() {
    let (keys, release) = Answer::json(&key(Algorithm::ES256).jwk_set()).held();
    let server = KeyServer::start(keys).unwrap();
    let provider = Provider::new().issuer(ISSUER).audience("api").keys(server.url());
    let api = Api::start(
        policy::builder()
            .provider("idp", provider)
            .deny_list(DenyList::new())
            .backchannel_logout(BackchannelLogout::new().client("idp", CLIENT)),
    );
    let oauth2 = api.oauth2.clone();
    let app = App::new().service(oauth2.logout_receivers()).wrap(oauth2);
    let app = test::init_service(app).await;
    let form = [("logout_token", sign(&api.logout_token()))];
    let request = test::TestRequest::post().uri("/backchannel-logout").set_form(form).to_request();
    let call = Box::pin(test::call_service(&app, request));
    let fetch = Box::pin(until("the fetch of keys", || server.requests() == 1));
    let future::Either::Right(((), call)) = future::select(call, fetch).await else {
        panic!("there are no keys yet");
    };
    // As actix does when the connection is closed.
    drop(call);
    assert_eq!(api.entries(), 0);
    release.release();
    until("the entry", || api.entries() == 1).await;
}
