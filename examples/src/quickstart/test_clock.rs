//! `--test-clock`, for the end-to-end tests: the time of the API and of the identity provider stands still until a
//! test moves it. Your own API needs none of this.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use oauth2_actix::testing::ManualClock;
use serde::Deserialize;

#[derive(Deserialize)]
struct Step {
    seconds: u32,
}

/// Adds `POST /__clock/advance?seconds=N`, which moves the clock, or nothing if there is no clock.
pub(crate) fn configure(clock: Option<&ManualClock>, config: &mut web::ServiceConfig) {
    let Some(clock) = clock.cloned() else { return };
    let advance = move |step: web::Query<Step>| {
        clock.advance(Duration::from_secs(step.seconds.into()));
        let now = serde_json::json!({"unix_seconds": clock.unix_seconds()});
        async { HttpResponse::Ok().json(now) }
    };
    config.route("/__clock/advance", web::post().to(advance));
}
