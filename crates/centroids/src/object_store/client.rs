//! The client: many requests at a time, the pictures handed out one by one.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use centroids_data::{Error as DataError, ImageBytes, ImageRecord, MAX_IMAGE_BYTES, scheme};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, parse_url_opts};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::Error;

/// Requests at the same time.
const REQUESTS: usize = 64;

/// Variables with these beginnings are settings of the stores.
const SETTINGS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

type Fetched = Result<Vec<u8>, DataError>;

/// Reads URLs. A request that fails is repeated by the client (10 times, for 3 minutes), one without
/// an answer ends after 30 seconds.
#[derive(Debug)]
pub(super) struct Objects {
    /// One per bucket, container or file system.
    stores: HashMap<String, Arc<dyn ObjectStore>>,
    /// Requests begun but not yet read: at most as many as the loader's batches in work have images.
    begun: Mutex<HashMap<PathBuf, JoinHandle<Fetched>>>,
    permits: Arc<Semaphore>,
    runtime: Runtime,
}

impl Objects {
    /// # Errors
    /// [`Error::Run`] naming the first URL that cannot be used.
    pub(super) fn open(images: &[ImageRecord]) -> Result<Self, Error> {
        // Without a provider of its own the TLS library does not know which of two to take.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut stores = HashMap::new();
        for image in images {
            let refuse = |reason| Error::Run { path: image.path.clone(), reason };
            let url = text(&image.path).map_err(refuse)?;
            object_of(url).map_err(refuse)?;
            if !stores.contains_key(root_of(url)) {
                stores.insert(root_of(url).to_owned(), store_of(url).map_err(refuse)?);
            }
        }
        let failed = |source| Error::Read { path: PathBuf::from("object store"), source };
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let (begun, permits) = (Mutex::default(), Arc::new(Semaphore::new(REQUESTS)));
        Ok(Self { stores, begun, permits, runtime: runtime.map_err(failed)? })
    }

    fn begin(&self, path: &Path) -> JoinHandle<Fetched> {
        let (path, permits) = (path.to_owned(), self.permits.clone());
        let place = text(&path).and_then(|url| {
            let store = self.stores.get(root_of(url)).cloned();
            Ok((store.ok_or("its store was not opened")?, object_of(url)?))
        });
        self.runtime.spawn(async move {
            let (store, key) = place.map_err(|reason| unreachable(&path, reason))?;
            let _permit = permits.acquire_owned().await;
            fetch(&*store, &key, &path).await
        })
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<PathBuf, JoinHandle<Fetched>>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ImageBytes for Objects {
    fn read(&self, path: &Path, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let begun = self.begun().remove(path);
        let request = begun.unwrap_or_else(|| self.begin(path));
        let fetched = self.runtime.block_on(request);
        bytes.extend(fetched.map_err(|error| unreachable(path, error.to_string()))??);
        Ok(())
    }

    fn expect(&self, paths: &[PathBuf]) {
        for path in paths {
            let request = self.begin(path);
            self.begun().insert(path.clone(), request);
        }
    }
}

async fn fetch(store: &dyn ObjectStore, key: &Key, path: &Path) -> Fetched {
    let failed = |error: object_store::Error| match error {
        object_store::Error::NotFound { .. } => DataError::Missing { path: path.to_owned() },
        other => unreachable(path, one_line(&other)),
    };
    let object = store.get(key).await.map_err(failed)?;
    if object.meta.size > MAX_IMAGE_BYTES {
        let reason = format!("{} bytes are more than a picture's", object.meta.size);
        return Err(DataError::Io { path: path.to_owned(), source: io::Error::other(reason) });
    }
    Ok(object.bytes().await.map_err(failed)?.to_vec())
}

fn unreachable(path: &Path, reason: String) -> DataError {
    DataError::Unreachable { url: path.to_string_lossy().into_owned(), reason }
}

fn one_line(error: &object_store::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn text(path: &Path) -> Result<&str, String> {
    path.to_str().ok_or_else(|| "is no text".to_owned())
}

/// The part of a URL that names the store: `s3://bucket`.
fn root_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    url[start..].find('/').map_or(url, |slash| &url[..start + slash])
}

/// The key of a URL in its store.
fn object_of(url: &str) -> Result<Key, String> {
    if url.contains(['?', '#']) {
        return Err("holds ? or #: write %3F or %23 if they belong to the name".to_owned());
    }
    if matches!(scheme(Path::new(url)), Some("http" | "https" | "memory")) {
        return Err("is no object store's: use s3://, gs://, az://, abfs:// or file:///".to_owned());
    }
    let parsed = url.parse().map_err(|error| format!("is no URL ({error}): correct it"))?;
    let (_, key) = ObjectStoreScheme::parse(&parsed)
        .map_err(|_| "is no object store's: use s3://, gs://, az://, abfs:// or file:///")?;
    match key.as_ref().is_empty() {
        true => Err("names no object: add its key".to_owned()),
        false => Ok(key),
    }
}

fn store_of(url: &str) -> Result<Arc<dyn ObjectStore>, String> {
    let settings = std::env::vars().filter(|(key, _)| SETTINGS.iter().any(|s| key.starts_with(s)));
    let parsed = url.parse().map_err(|error| format!("is no URL ({error}): correct it"))?;
    let (store, _) = parse_url_opts(&parsed, settings).map_err(|error| one_line(&error))?;
    Ok(store.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: impl Into<PathBuf>) -> ImageRecord {
        ImageRecord { path: path.into(), pid: centroids_core::Pid(1), camid: None }
    }

    fn url(folder: &Path, name: &str) -> PathBuf {
        format!("file://{}/{name}", folder.display()).into()
    }

    #[test]
    fn expected_and_unexpected_objects_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a b.jpg", "c.jpg", "d.jpg"];
        let urls = ["a%20b.jpg", "c.jpg", "d.jpg"].map(|name| url(folder.path(), name));
        for name in names {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let objects = Objects::open(&urls.clone().map(image)).unwrap();
        objects.expect(&urls[..2]);
        for (url, name) in urls.iter().zip(names) {
            for _ in 0..2 {
                let mut bytes = Vec::new();
                objects.read(url, &mut bytes).unwrap();
                assert_eq!(bytes, name.as_bytes());
            }
        }
        let gone = objects.read(&url(folder.path(), "gone.jpg"), &mut Vec::new()).unwrap_err();
        assert!(matches!(gone, DataError::Missing { .. }), "{gone}");
    }

    #[test]
    fn what_is_no_object_is_refused_by_its_url() {
        for (url, reason) in [
            ("ftp://a/b.jpg", "no object store's"),
            ("https://example.com/b.jpg", "no object store's"),
            ("s3://bucket/b.jpg?v=1", "%3F"),
            ("s3://bucket/", "names no object"),
            ("s3://bucket", "names no object"),
        ] {
            let message = Objects::open(&[image(url)]).unwrap_err().to_string();
            assert!(message.starts_with(url) && message.contains(reason), "{message}");
        }
    }
}
