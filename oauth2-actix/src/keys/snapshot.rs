//! The keys of the last successful fetch on disk, so that a restart does not depend on the provider.
//!
//! Each source has one file. It contains public keys only, with their source and the time of their fetch, and
//! is replaced in one step. A file that does not match its source is not used.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use openssl::sha::Sha256;
use serde_json::{Map, Value, value::RawValue};

use crate::{
    http::fetch::MAX_BODY,
    jose::{jwk, key_document::KeyDocument, key_policy::KeyPolicy, key_set::KeySet},
    json,
    util::{clock::Clock, log_rate::Throttle},
};

/// The directory for the snapshots of a policy.
pub(crate) struct SnapshotDirectory {
    path: PathBuf,
    /// The user who owns the files that this process creates. If it is unknown, no file is read.
    #[cfg(unix)]
    owner: Option<u32>,
    queue: Mutex<Queue>,
    warnings: Throttle,
}

/// The snapshots that wait to be written, by file name. A newer snapshot replaces a waiting one.
#[derive(Default)]
struct Queue {
    waiting: BTreeMap<String, Job>,
    is_running: bool,
}

impl SnapshotDirectory {
    /// Creates the directory if it is missing.
    pub(crate) fn open(path: &Path, clock: &Clock) -> Result<Arc<Self>, String> {
        let mut create = fs::DirBuilder::new();
        create.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut create, 0o700);
        create
            .create(path)
            .map_err(|error| format!("{} is not usable: {error}", path.display()))?;
        let probed = probe(path);
        if let Err(error) = &probed {
            tracing::warn!(
                target: "oauth2_actix", directory = %path.display(), cause = %error,
                "the directory for key snapshots is not writable, so snapshots are neither read nor written"
            );
        }
        Ok(Arc::new(Self {
            path: path.to_owned(),
            #[cfg(unix)]
            owner: probed.ok().map(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata)),
            queue: Mutex::default(),
            warnings: Throttle::new(clock.clone()),
        }))
    }

    /// Returns the snapshot of a source. `identity` distinguishes it from the provider's other sources.
    pub(crate) fn file(
        self: &Arc<Self>,
        provider: &Arc<str>,
        source: &Arc<str>,
        identity: &[&str],
    ) -> SnapshotFile {
        let mut parts = vec!["oauth2-actix key snapshot", provider];
        parts.extend(identity);
        let id = digest(&parts);
        // A tenant's name may be any text. Only the digest makes the file name unique.
        let readable: String = provider
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .take(40)
            .collect();
        SnapshotFile {
            directory: Arc::clone(self),
            name: format!("{readable}-{}.json", &id[..32]),
            id,
            provider: Arc::clone(provider),
            source: Arc::clone(source),
            written: Arc::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a snapshot, and writes the waiting snapshots one after the other on a thread that may block.
    fn enqueue(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue();
        match queue.waiting.get_mut(&job.file.name) {
            // The waiting document is written with the newer time.
            Some(waiting) if job.document.is_none() => waiting.fetched_at = job.fetched_at,
            _ => {
                queue.waiting.insert(job.file.name.clone(), job);
            }
        }
        if !std::mem::replace(&mut queue.is_running, true) {
            let directory = Arc::clone(self);
            tokio::task::spawn_blocking(move || directory.write_waiting());
        }
    }

    fn write_waiting(&self) {
        loop {
            let job = {
                let mut queue = self.queue();
                match queue.waiting.pop_first() {
                    Some((_, job)) => job,
                    None => {
                        queue.is_running = false;
                        return;
                    }
                }
            };
            let (provider, source) = (&job.file.provider, &job.file.source);
            match job.run(&self.path) {
                Ok(()) => {
                    tracing::debug!(target: "oauth2_actix", %provider, %source, "key snapshot written");
                }
                Err(cause) if self.warnings.allows() => tracing::warn!(
                    target: "oauth2_actix", %provider, %source, cause, "the key snapshot was not written"
                ),
                Err(cause) => tracing::debug!(
                    target: "oauth2_actix", %provider, %source, cause, "the key snapshot was not written"
                ),
            }
        }
    }
}

impl fmt::Debug for SnapshotDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SnapshotDirectory({})", self.path.display())
    }
}

/// The snapshot of one source.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    directory: Arc<SnapshotDirectory>,
    name: String,
    id: String,
    provider: Arc<str>,
    source: Arc<str>,
    /// The public part of the last document that was written.
    written: Arc<Mutex<Option<Arc<str>>>>,
}

/// A snapshot that was read.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) keys: KeySet,
    /// The time when its fetch began, since the Unix epoch.
    pub(crate) fetched_at: Duration,
}

/// A snapshot to be written.
struct Job {
    file: SnapshotFile,
    /// `None` confirms the last document at a later time.
    document: Option<(Vec<u8>, Arc<KeySet>)>,
    fetched_at: u64,
    policy: KeyPolicy,
}

impl SnapshotFile {
    /// Writes a fetched document with its keys. Without a document, it writes that the provider still
    /// publishes the last one. It does not block, and must be called on a tokio runtime.
    pub(crate) fn write(
        &self,
        document: Option<(Vec<u8>, Arc<KeySet>)>,
        fetched_at: Duration,
        policy: KeyPolicy,
    ) {
        let fetched_at = fetched_at.as_secs();
        self.directory.enqueue(Job { file: self.clone(), document, fetched_at, policy });
    }

    /// Reads the snapshot, if there is one. Blocks.
    ///
    /// # Errors
    ///
    /// The reason why the file is not used.
    pub(crate) fn read(&self, policy: KeyPolicy) -> Result<Option<Stored>, String> {
        let path = self.directory.path.join(&self.name);
        let Some(text) = self.directory.read(&path)? else { return Ok(None) };
        let record = json::parse_object(text.as_bytes()).map_err(|_| "it is not a JSON object")?;
        let text_of = |name: &str| record.get(name).and_then(Value::as_str);
        if record.get("format").and_then(Value::as_u64) != Some(FORMAT) {
            return Err("it is not in the format of this version".to_owned());
        }
        if text_of("id") != Some(&self.id) {
            return Err("it belongs to another provider or source".to_owned());
        }
        let (Some(document), Some(fetched_at)) =
            (text_of("document"), record.get("fetched_at").and_then(Value::as_u64))
        else {
            return Err("it lacks the keys or their time".to_owned());
        };
        if text_of("digest") != Some(&digest(&[&self.id, &fetched_at.to_string(), document])) {
            return Err("it is damaged".to_owned());
        }
        let read = KeyDocument::parse(document.as_bytes(), policy).map_err(|e| e.to_string())?;
        Ok(Some(Stored { keys: read.keys, fetched_at: Duration::from_secs(fetched_at) }))
    }

    /// Returns the path of the file, for logs.
    pub(crate) fn shown(&self) -> String {
        self.directory.path.join(&self.name).display().to_string()
    }
}

impl SnapshotDirectory {
    fn read(&self, path: &Path) -> Result<Option<String>, String> {
        let fault = |error: io::Error| error.to_string();
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
            // Opening a pipe would wait for its other end.
            Ok(metadata) if !metadata.is_file() => {
                return Err("it is not a regular file".to_owned());
            }
            Ok(_) => {}
        }
        let file = fs::File::open(path).map_err(fault)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;

            let metadata = file.metadata().map_err(fault)?;
            if self.owner != Some(metadata.uid()) {
                return Err("it belongs to another user".to_owned());
            }
            if metadata.mode() & 0o022 != 0 {
                return Err("other users may write to it".to_owned());
            }
        }
        let mut text = String::new();
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(fault)?;
        if text.len() as u64 > MAX_FILE {
            Err("it is too large".to_owned())
        } else {
            Ok(Some(text))
        }
    }
}

impl Job {
    fn run(&self, directory: &Path) -> Result<(), String> {
        let mut written = self.file.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((document, keys)) = &self.document {
            let public =
                public_part(document).ok_or("the document has a form that cannot be stored")?;
            // Reading the file later must give the keys that are used now.
            let read =
                KeyDocument::parse(public.as_bytes(), self.policy).map_err(|e| e.to_string())?;
            if !read.keys.is_same_as(keys) {
                return Err("its public part does not have the same keys".to_owned());
            }
            *written = Some(public.into());
        }
        // Without a document since the start, there is no document to confirm.
        let Some(document) = written.as_deref() else { return Ok(()) };
        let file = &self.file;
        let record = serde_json::json!({
            "format": FORMAT,
            "provider": *file.provider,
            "source": *file.source,
            "id": file.id,
            "fetched_at": self.fetched_at,
            "document": document,
            "digest": digest(&[&file.id, &self.fetched_at.to_string(), document]),
        });
        replace(directory, &file.name, record.to_string().as_bytes()).map_err(|e| e.to_string())
    }
}

/// Creates a file and removes it again. Returns its metadata, which has the owner of new files.
fn probe(directory: &Path) -> io::Result<fs::Metadata> {
    let (path, file) = create_temporary(directory, "probe")?;
    let metadata = file.metadata();
    drop(file);
    fs::remove_file(path)?;
    metadata
}

/// Replaces a file in one step: after a crash, either the old file or the new file exists.
fn replace(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = create_temporary(directory, name)?;
    let result = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, directory.join(name)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
        return result;
    }
    // The rename is durable once the directory is synced. Not every system supports that.
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

/// Creates a file that only the user of this process may read or write.
fn create_temporary(directory: &Path, name: &str) -> io::Result<(PathBuf, fs::File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!(".{name}.{}-{number}.tmp", std::process::id()));
    // A process that ended while it wrote may have left this file.
    let _ = fs::remove_file(&path);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    Ok((path, file))
}

/// Returns the SHA-256 digest of texts in hexadecimal. The lengths keep different lists of texts distinct.
fn digest(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(&(part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    sha.finish().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Removes everything but public keys from a key document, and keeps its form.
fn public_part(document: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(document).ok()?;
    let text = text.trim_start_matches('\u{feff}').trim();
    let document = match text.as_bytes().first()? {
        b'[' => Value::Array(public_items(text)),
        b'{' => {
            let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            // Keys are read in the same way.
            members.retain(|_, value| value.get() != "null");
            if let Some(keys) = members.get("keys") {
                Value::from(Map::from_iter([("keys".to_owned(), public_items(keys.get()).into())]))
            } else if members.contains_key("kty") {
                Value::Object(public_jwk(text)?)
            } else {
                let public = |(kid, pem): (String, &RawValue)| {
                    let pem = public_pem(&serde_json::from_str::<String>(pem.get()).ok()?);
                    (!pem.is_empty()).then_some((kid, Value::String(pem)))
                };
                Value::Object(members.into_iter().filter_map(public).collect())
            }
        }
        _ => return Some(public_pem(text)),
    };
    Some(document.to_string())
}

/// Returns the public keys of a JSON list.
fn public_items(list: &str) -> Vec<Value> {
    let items: Vec<&RawValue> = serde_json::from_str(list).unwrap_or_default();
    let public = |item: &&RawValue| match serde_json::from_str::<String>(item.get()) {
        Ok(pem) => Some(Value::String(public_pem(&pem))),
        Err(_) => public_jwk(item.get()).map(Value::Object),
    };
    items.iter().filter_map(public).collect()
}

/// Returns the public members of a public key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2, RFC 9964 §3), or
/// `None` for any other key, and for a key that other members make unusable.
fn public_jwk(text: &str) -> Option<Map<String, Value>> {
    const PUBLIC: [&str; 13] = [
        "kty", "use", "key_ops", "alg", "kid", "x5t", "x5t#S256", "n", "e", "crv", "x", "y", "pub",
    ];
    let jwk = json::parse_members(text, &jwk::MEMBERS).ok()?;
    let kty = jwk.get("kty").and_then(Value::as_str);
    let is_public =
        matches!(kty, Some("RSA" | "EC" | "OKP" | "AKP")) && jwk::private_member(&jwk).is_none();
    if !is_public {
        return None;
    }
    let certificate = jwk::certificate(&jwk);
    let mut public: Map<String, Value> =
        jwk.into_iter().filter(|(name, _)| PUBLIC.contains(&name.as_str())).collect();
    // Tokens may name its thumbprints. The DER is public, and contains only a certificate.
    if let Some(der) = certificate {
        public.insert("x5c".to_owned(), vec![STANDARD.encode(der)].into());
    }
    Some(public)
}

/// Returns the public keys and certificates of a PEM text (RFC 7468), without the text between them.
fn public_pem(text: &str) -> String {
    let mut public = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(BEGIN) {
        rest = &rest[begin..];
        let Some((label, _)) = rest[BEGIN.len()..].split_once("-----") else { break };
        let end = format!("-----END {label}-----");
        let Some(length) = rest.find(&end).map(|at| at + end.len()) else { break };
        if matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY" | "CERTIFICATE") {
            public.push_str(&rest[..length]);
            public.push('\n');
        }
        rest = &rest[length..];
    }
    public
}

const BEGIN: &str = "-----BEGIN ";

/// The version of the file format.
const FORMAT: u64 = 1;

/// The maximum bytes of a file: a document may take twice its size as a JSON string.
const MAX_FILE: u64 = 2 * MAX_BODY as u64 + 64 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn public(document: &str) -> Option<String> {
        public_part(document.as_bytes())
    }

    #[test]
    fn members_that_are_not_public_are_left_out() {
        let jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "1", "use": "sig", "note": "canary",
            "d": null, "oth": [], "x5c": ["canary"],
        });
        let kept = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "1", "use": "sig"});
        let read = |document: Value| {
            public(&document.to_string()).map(|text| serde_json::from_str(&text).expect("JSON"))
        };
        assert_eq!(read(jwk.clone()), Some(kept.clone()));
        assert_eq!(read(json!([jwk])), Some(json!([kept])));
        assert_eq!(read(json!({"keys": [jwk], "x": "canary"})), Some(json!({"keys": [kept]})));
    }

    #[test]
    fn keys_that_are_not_public_are_left_out() {
        let private = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "canary"});
        let empty = json!({"kty": "RSA", "n": "AA", "e": "AQAB", "d": ""});
        let secret = json!({"kty": "oct", "k": "canary"});
        let unknown = json!({"kty": "canary", "x": "canary"});
        let no_list = json!({"kty": "RSA", "n": "AA", "e": "AQAB", "d": []});
        for jwk in [private, empty, no_list, secret, unknown, json!({}), json!({"x": "canary"})] {
            assert_eq!(
                public(&json!({"keys": [jwk]}).to_string()).as_deref(),
                Some(r#"{"keys":[]}"#)
            );
            if jwk.get("kty").is_some() {
                assert_eq!(public(&jwk.to_string()), None, "{jwk}");
            }
        }
        let twice = r#"{"keys":[{"kty":"RSA","n":"AA","e":"AQAB","e":"Aw"}]}"#;
        assert_eq!(public(twice).as_deref(), Some(r#"{"keys":[]}"#));
        assert_eq!(public("").as_deref(), None);
        assert_eq!(public("canary").as_deref(), Some(""));
        assert_eq!(public(r#"{"canary": "canary", "x": 1}"#).as_deref(), Some("{}"));
    }

    #[test]
    fn only_public_blocks_of_pem_are_kept() {
        let block = |label: &str| format!("-----BEGIN {label}-----\ncanary\n-----END {label}-----");
        for label in ["PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE"] {
            let text = format!("{}\ncomment\n{}\n", block("PRIVATE KEY"), block(label));
            assert_eq!(public(&text), Some(format!("{}\n", block(label))));
            let map = json!({"1": text}).to_string();
            assert_eq!(public(&map), Some(json!({"1": format!("{}\n", block(label))}).to_string()));
        }
        for text in [
            block("RSA PRIVATE KEY"),
            block("ENCRYPTED PRIVATE KEY"),
            "-----BEGIN PUBLIC KEY-----\ncanary".to_owned(),
            "-----BEGIN PUBLIC KEY-----\ncanary\n-----END PRIVATE KEY-----".to_owned(),
            "-----BEGIN ".to_owned(),
        ] {
            assert_eq!(public(&text).as_deref(), Some(""), "{text}");
        }
    }

    #[test]
    fn parts_of_a_digest_are_distinguished() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["a", ""]), digest(&["a"]));
        assert_eq!(digest(&["a"]).len(), 64);
    }
}
