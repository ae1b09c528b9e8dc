//! Notices of changes: a subscription to a channel, on a separate connection.
//!
//! A notice only makes a change known earlier. If a notice is lost, as all are during a reconnection, polling finds the
//! change.

use std::{rc::Rc, sync::Arc, time::Duration};

use futures_util::StreamExt;
use redis::aio::PubSub;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use crate::store::{
    buckets::Bucket,
    link::{self, text},
    node::backoff,
    thread::Shared,
};

/// A channel, and the receiver of its notices.
pub(super) struct Subscription {
    /// The messages are sent by the server that has this bucket. In a Cluster, every server has them.
    pub(super) bucket: Bucket,
    pub(super) channel: String,
    pub(super) changed: watch::Sender<()>,
}

/// Listens until there is no receiver.
pub(super) async fn listen(shared: Rc<Shared>, subscription: Subscription) {
    let (mut failures, mut is_logged) = (0, false);
    loop {
        let heard = tokio::select! {
            () = subscription.changed.closed() => return,
            heard = hear(&shared, &subscription, &mut failures) => heard,
        };
        if let Err(cause) = heard {
            failures += 1;
            if !std::mem::replace(&mut is_logged, true) {
                tracing::debug!(
                    target: "oauth2_actix",
                    %cause,
                    "there are no notices of changes in Redis: changes are found by polling"
                );
            }
        }
        sleep(backoff(failures).max(SHORTEST_PAUSE)).await;
    }
}

/// Listens on one connection until it ends.
async fn hear(
    shared: &Shared,
    subscription: &Subscription,
    failures: &mut u32,
) -> Result<(), Arc<str>> {
    let node = shared.node(subscription.bucket).await.map_err(|error| error.to_string())?;
    let link = node.link().await.map_err(|error| error.to_string())?;
    let (endpoint, settings) = (&link.endpoint, &shared.settings);
    let limit = settings.connection_timeout;
    let opened = timeout(limit, async {
        let stream = link::connect(&endpoint.address, &endpoint.access, settings).await?;
        let mut opened = PubSub::new(&endpoint.access.login, stream).await.map_err(|e| text(&e))?;
        opened.subscribe(&subscription.channel).await.map_err(|error| text(&error))?;
        Ok::<_, Arc<str>>(opened)
    });
    let opened = opened.await.map_err(|_| "no subscription in time")??;
    *failures = 0;
    let (mut pings, mut messages) = opened.split();
    // What was changed before the subscription was not heard.
    subscription.changed.send_replace(());
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(_) => {
                    subscription.changed.send_replace(());
                }
                None => return Ok(()),
            },
            // The server is no longer the one to listen to.
            () = node.replaced(&link) => return Ok(()),
            () = sleep(PING_INTERVAL) => match timeout(limit, pings.ping::<redis::Value>()).await {
                Ok(Ok(_)) => {}
                _ => return Ok(()),
            },
        }
    }
}

/// The least time between two connections.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// The time without a message after which the connection is checked.
const PING_INTERVAL: Duration = Duration::from_secs(5);
