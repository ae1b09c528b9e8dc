//! The status of a token in a list of its issuer.

use futures_util::future::BoxFuture;
use std::time::Duration;
use tokio::sync::watch;

use crate::error::Error;

/// The status of one token, which its issuer publishes.
pub(crate) trait TokenStatus: Send + Sync {
    /// Checks the status in the list that is in memory. The error is an unavailability if the list may not be used.
    fn check(&self) -> Result<(), Error>;

    /// Returns whether the list is kept. A token whose list was removed is verified again.
    fn is_kept(&self) -> bool;

    /// Waits until the list may be used, which is fetched if it must be.
    fn wait(&self) -> BoxFuture<'static, Result<(), Error>>;

    /// Fetches the list if it may not be used, without waiting. Returns the error for the request.
    fn request(&self) -> Error;

    /// Returns a receiver of changes of the list.
    fn changes(&self) -> watch::Receiver<()>;

    /// Returns the moment of the monotonic clock at which the list should be fetched again, or may no longer be used.
    fn next_check(&self) -> Duration;
}
