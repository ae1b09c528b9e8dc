//! Sources of keys that are not URLs: the developer's own, such as a vault or a database, and files.

use std::{
    error::Error,
    fmt,
    fs::Metadata,
    future::Future,
    io::Read,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use reqwest::header::HeaderValue;

use crate::{http::fetch::MAX_BODY, util::clock::Clock};

/// A source of keys that is neither a URL nor text: a vault, a database, a message bus.
///
/// [`Keys::source`] adds it to a provider. It is called when keys are first needed, and again under the same
/// rules as a URL: [`OAuth2Builder::key_refresh`], cooldown, backoff, stale window and a time limit for each
/// fetch ([`OAuth2Builder::fetch_timeout`]). If it fails, or returns no usable key, the cached keys are kept.
///
/// It runs on the thread that fetches the keys of all providers, on a tokio runtime of one thread. Use
/// `tokio::task::spawn_blocking` for blocking work, which would otherwise delay every provider. If it panics,
/// the fetch fails. A fetch that exceeds the time limit is dropped.
///
/// ```
/// use std::error::Error;
/// use oauth2_actix::{KeySource, Keys, OAuth2, Provider};
///
/// struct Vault;
///
/// impl KeySource for Vault {
///     async fn load(&self) -> Result<String, Box<dyn Error + Send + Sync>> {
///         // Read the keys from the vault here.
///         Ok(r#"{"keys": [{"kty": "OKP", "crv": "Ed25519",
///             "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#.to_owned())
///     }
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn Error>> {
/// let internal =
///     Provider::new().issuer("https://internal").audience("api").keys(Keys::source(Vault));
/// let oauth2 = OAuth2::builder().provider("internal", internal).key_refresh_minutes(5).build()?;
/// oauth2.warm_up().await?;
/// assert_eq!(oauth2.key_status()[0].keys.len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// [`Keys::source`]: crate::Keys::source
/// [`OAuth2Builder::key_refresh`]: crate::OAuth2Builder::key_refresh
/// [`OAuth2Builder::fetch_timeout`]: crate::OAuth2Builder::fetch_timeout
pub trait KeySource: Send + Sync + 'static {
    /// Returns the keys in any of the forms of [`Keys`](crate::Keys), such as a JWK set or PEM text, with at
    /// most 1 MiB. Only public keys are used: symmetric keys are skipped, as from a URL.
    ///
    /// # Errors
    ///
    /// Any error that prevents loading the keys. The log and [`OAuth2::key_status`] show its text.
    ///
    /// [`OAuth2::key_status`]: crate::OAuth2::key_status
    fn load(&self) -> impl Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send;

    /// Completes when the keys have changed since the last call of [`KeySource::load`]. They are then fetched
    /// at once, but not within a second of the last fetch. It is called after each fetch, and dropped when
    /// the next fetch begins. Default: never.
    ///
    /// It is independent of the refresh interval, and is used also where
    /// [`OAuth2Builder::key_refresh`](crate::OAuth2Builder::key_refresh) is not set.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// The object-safe form of [`KeySource`].
pub(crate) trait AnySource: Send + Sync {
    fn load(&self) -> SourceFuture<'_, Result<String, Box<dyn Error + Send + Sync>>>;
    fn changed<'a>(&'a self, clock: &'a Clock) -> SourceFuture<'a, ()>;
    /// Returns the name of the source, for logs.
    fn shown(&self) -> String;
}

pub(crate) type SourceFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<S: KeySource> AnySource for S {
    fn load(&self) -> SourceFuture<'_, Result<String, Box<dyn Error + Send + Sync>>> {
        Box::pin(KeySource::load(self))
    }

    fn changed<'a>(&'a self, _clock: &'a Clock) -> SourceFuture<'a, ()> {
        Box::pin(KeySource::changed(self))
    }

    fn shown(&self) -> String {
        "custom source".to_owned()
    }
}

impl fmt::Debug for dyn AnySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown())
    }
}

/// A file that is accessed on a thread that may block, by one access at a time: on a file system that hangs,
/// an access may take long.
struct BlockingFile {
    path: PathBuf,
    busy: Arc<AtomicBool>,
}

impl BlockingFile {
    fn new(path: PathBuf) -> Self {
        Self { path, busy: Arc::default() }
    }

    async fn access<T: Send + 'static>(
        &self,
        how: fn(&Path) -> std::io::Result<T>,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        if self.busy.swap(true, Ordering::SeqCst) {
            return Err("the previous attempt to read it has not ended".into());
        }
        let (path, busy) = (self.path.clone(), Arc::clone(&self.busy));
        let accessed = tokio::task::spawn_blocking(move || {
            let accessed = how(&path);
            busy.store(false, Ordering::SeqCst);
            accessed
        });
        Ok(accessed.await??)
    }
}

/// A file of keys, which is read again when it changes.
pub(crate) struct KeyFile {
    file: BlockingFile,
    /// The state of the file when it was last read.
    seen: Mutex<Option<Seen>>,
}

impl KeyFile {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { file: BlockingFile::new(path), seen: Mutex::default() })
    }

    fn seen(&self) -> Option<Seen> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file with a bearer token, which is read for each use.
pub(crate) struct TokenFile(BlockingFile);

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(BlockingFile::new(path))
    }

    /// Returns the value of an `Authorization` header (RFC 6750 §2.1), marked as sensitive. The error has the
    /// path of the file, and no part of its content.
    pub(crate) async fn authorization(&self) -> Result<HeaderValue, String> {
        let fault = |problem: &dyn fmt::Display| {
            format!("the bearer token file {}: {problem}", self.0.path.display())
        };
        let text = self.0.access(read_token).await.map_err(|error| fault(&error))?;
        let token = text.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fault(&"it does not contain one token of printable ASCII without spaces"));
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| fault(&"it does not contain one token"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl fmt::Debug for TokenFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenFile({})", self.0.path.display())
    }
}

impl AnySource for KeyFile {
    fn load(&self) -> SourceFuture<'_, Result<String, Box<dyn Error + Send + Sync>>> {
        Box::pin(async move {
            let (text, seen) = self.file.access(read_keys).await?;
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            Ok(text)
        })
    }

    fn changed<'a>(&'a self, clock: &'a Clock) -> SourceFuture<'a, ()> {
        Box::pin(async move {
            let before = self.seen();
            loop {
                clock.sleep_until(clock.monotonic() + CHECK_INTERVAL).await;
                // A file that is missing is probably being replaced.
                if let Ok(metadata) = self.file.access(|path| std::fs::metadata(path)).await
                    && before != Some(Seen::of(&metadata))
                {
                    return;
                }
            }
        })
    }

    fn shown(&self) -> String {
        format!("file {}", self.file.path.display())
    }
}

/// Reads a file and its state. The state is taken first, so that a change during the read counts as a later
/// change.
fn read_keys(path: &Path) -> std::io::Result<(String, Seen)> {
    let metadata = std::fs::metadata(path)?;
    let seen = Seen::of(&metadata);
    // Reads one byte more than the limit, so that the caller can reject a larger file.
    Ok((read_regular(path, &metadata, MAX_BODY as u64 + 1)?, seen))
}

fn read_token(path: &Path) -> std::io::Result<String> {
    let text = read_regular(path, &std::fs::metadata(path)?, MAX_TOKEN_FILE + 1)?;
    if text.len() as u64 > MAX_TOKEN_FILE {
        return Err(std::io::Error::other("it is larger than 64 KiB"));
    }
    Ok(text)
}

fn read_regular(path: &Path, metadata: &Metadata, limit: u64) -> std::io::Result<String> {
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// The state of a file. It differs after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    length: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: u64,
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

/// The interval at which a file is checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The maximum bytes of a file with a bearer token. Real tokens have 1 to 2 KiB.
const MAX_TOKEN_FILE: u64 = 64 * 1024;
