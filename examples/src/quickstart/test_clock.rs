//! `--test-clock`, for the end-to-end tests: the time of the API and of the identity provider only changes
//! when a test moves it. Your own API does not need this.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use oauth2_actix::testing::ManualClock;
use serde::Deserialize;

#[derive(Deserialize)]
struct Step {
    seconds: u32,
}

/// Adds `POST /__clock/advance?seconds=N`, which moves the clock, if there is one.
pub(crate) fn configure(clock: Option<&ManualClock>, config: &mut web::ServiceConfig) {
    let Some(clock) = clock.cloned() else { return };
    let advance = move |step: web::Query<Step>| {
        clock.advance(Duration::from_secs(step.seconds.into()));
        let now = serde_json::json!({"unix_seconds": clock.unix_seconds()});
        async { HttpResponse::Ok().json(now) }
    };
    config.route("/__clock/advance", web::post().to(advance));
}
