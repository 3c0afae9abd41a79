//! A bucket of an S3-compatible service as a place for whole files. There is no rename, so a staged file is a multipart upload that is not
//! completed: nobody sees it, completing it makes it an object in one step, and its key is never used again.
//!
//! An upload can be found by its id only, so beside each lies a small object with the id under the name of the staged file. There is no lock:
//! the owner record changes by conditional writes, and every other operation is the same whoever repeats it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use longshore_sdk::materialize::whole_files::{Content, Found, PlannedFile, Storage, StoredBytes, Upload};
use longshore_sdk::{Error, Result};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    UpdateVersion,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

/// Parts of an upload but for the last; services take none below 5 MiB, and at most 10,000 of them. One is held in memory for each file under way.
const PART_BYTES: usize = 5 << 20;
/// Metadata of an object that says as what it was staged.
const STAGED_AS: &str = "longshore-staged";

/// What a store must be able to do.
pub(crate) trait Objects: ObjectStore + MultipartStore {}
impl<S: ObjectStore + MultipartStore> Objects for S {}

/// See the module.
#[derive(Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn Objects>,
    service: String,
    shown: String,
    prefix: Path,
}

/// A store says more of itself than a log should have.
impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.shown).finish()
    }
}

/// An upload that is not completed, as it is written down beside it.
#[derive(Serialize, Deserialize)]
struct Begun {
    upload: String,
    published: String,
}

impl Bucket {
    pub(crate) fn new(store: Arc<dyn Objects>, service: &str, bucket: &str, prefix: &str) -> Result<Self> {
        let shown = if prefix.is_empty() { format!("s3://{bucket}") } else { format!("s3://{bucket}/{prefix}") };
        Ok(Self { store, service: service.to_owned(), shown, prefix: parse(prefix)? })
    }

    fn at(&self, key: &str) -> Result<Path> {
        match (key, self.prefix.as_ref()) {
            ("", _) => Ok(self.prefix.clone()),
            (_, "") => parse(key),
            (_, prefix) => parse(&format!("{prefix}/{key}")),
        }
    }

    fn failed(&self, doing: &str, key: &str, error: &StoreError) -> Error {
        let told = told(error);
        let message = format!("{doing} {}/{key}: {told}", self.shown);
        let config = |code: &str, pointer: &str, way: &str| {
            Error::config(code, message.clone()).at_pointer(pointer).suggest(way)
        };
        let answered = |statuses: &[&str]| statuses.iter().any(|status| told.contains(status));
        if answered(&["NoSuchBucket"]) {
            return config("parquet.s3.bucket", "/url", "make the bucket, or name another");
        }
        if answered(&["301 Moved", "PermanentRedirect", "AuthorizationHeaderMalformed"]) {
            return config("parquet.s3.region", "/region", "name the region that the bucket is in");
        }
        if answered(&["401 Unauthorized", "403 Forbidden"]) {
            let way = "correct the keys, or let them list, read, write and delete there, and abort uploads";
            return config("parquet.s3.refused", "/access_key_id", way);
        }
        Error::unavailable("parquet.s3.unreachable", message).suggest("see whether the service answers")
    }

    /// Deletes an object; gone is as good.
    fn delete(&self, keys: Vec<Path>) -> Result<()> {
        let shown = keys.first().map(Path::to_string).unwrap_or_default();
        let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
        let deleted = wait(self.store.delete_stream(keys).collect::<Vec<_>>());
        let bad =
            deleted.into_iter().filter_map(Result::err).find(|error| !matches!(error, StoreError::NotFound { .. }));
        bad.map_or(Ok(()), |error| Err(self.failed("deleting", &shown, &error)))
    }

    /// What lies where a file is to be, if anything.
    fn published(&self, file: &PlannedFile) -> Result<Option<Found>> {
        let looked = wait(self.store.get_opts(&self.at(&file.published)?, GetOptions::new().with_head(true)));
        let object = match looked {
            Ok(object) => object,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("looking at", &file.published, &error)),
        };
        let staged_as = object.attributes.get(&Attribute::Metadata(STAGED_AS.into())).map(AsRef::as_ref);
        let is_it = object.meta.size == file.size && staged_as == Some(file.staged.as_str());
        let other = || format!("another object of that name, of {} bytes", object.meta.size);
        Ok(Some(if is_it { Found::Published } else { Found::Other(other()) }))
    }
}

impl Storage for Bucket {
    fn shown(&self) -> String {
        self.shown.clone()
    }

    fn pointer(&self) -> &'static str {
        "/url"
    }

    fn fault(&self, directory: &str) -> Option<Error> {
        let at = match self.at(directory) {
            Ok(at) => at,
            Err(error) => return Some(error),
        };
        let error = wait(self.store.list_with_delimiter(Some(&at))).err()?;
        // One that does not answer is no mistake of the config; whoever reads next says so.
        let error = self.failed("listing", directory, &error);
        (error.kind == longshore_sdk::ErrorKind::Config).then_some(error)
    }

    fn claim(&self, directory: &str) -> String {
        format!("{} {}/{directory}", self.service, self.shown)
    }

    /// Nothing to hold: [`Storage::replace`] compares.
    fn lock(&self, _key: &str) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }

    fn read(&self, key: &str) -> Result<Option<Content>> {
        let at = self.at(key)?;
        let read = wait(async {
            let object = self.store.get_opts(&at, GetOptions::new()).await?;
            let version = object.meta.e_tag.clone();
            Ok::<_, StoreError>(Content { bytes: object.bytes().await?.to_vec(), version })
        });
        match read {
            Ok(content) => Ok(Some(content)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("reading", key, &error)),
        }
    }

    fn replace(&self, key: &str, bytes: &[u8], over: Option<&Content>) -> Result<bool> {
        let at = self.at(key)?;
        let mode = match over {
            None => PutMode::Create,
            Some(content) => PutMode::Update(UpdateVersion { e_tag: content.version.clone(), version: None }),
        };
        match wait(self.store.put_opts(&at, bytes.to_vec().into(), PutOptions::from(mode))) {
            Ok(_) => Ok(true),
            // Perhaps it was this one, repeated because its answer was lost: then what is there is what was to be there.
            Err(StoreError::Precondition { .. } | StoreError::AlreadyExists { .. } | StoreError::NotFound { .. }) => {
                Ok(self.read(key)?.is_some_and(|there| there.bytes == bytes))
            }
            Err(error) => Err(self.failed("writing", key, &error)),
        }
    }

    fn mark(&self, key: &str) -> Result<()> {
        let put = wait(self.store.put_opts(&self.at(key)?, Vec::new().into(), PutOptions::default()));
        put.map(drop).map_err(|error| self.failed("writing the mark", key, &error))
    }

    fn has(&self, key: &str) -> Result<bool> {
        match wait(self.store.get_opts(&self.at(key)?, GetOptions::new().with_head(true))) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("looking at", key, &error)),
        }
    }

    fn names(&self, directory: &str) -> Result<Vec<String>> {
        let listed = wait(self.store.list_with_delimiter(Some(&self.at(directory)?)))
            .map_err(|error| self.failed("listing", directory, &error))?;
        Ok(listed.objects.iter().filter_map(|object| object.location.filename()).map(str::to_owned).collect())
    }

    /// Keys need no directories.
    fn make(&self, _directory: &str) -> Result<()> {
        Ok(())
    }

    fn has_directory(&self, _directory: &str) -> bool {
        true
    }

    fn remove(&self, directory: &str, names: &[String]) -> Result<()> {
        let keys = names.iter().map(|name| self.at(&format!("{directory}/{name}"))).collect::<Result<_>>()?;
        self.delete(keys)
    }

    fn stage(&self, staged: &str, published: &str) -> Result<Box<dyn StoredBytes>> {
        let at = self.at(published)?;
        let mut attributes = Attributes::new();
        attributes.insert(Attribute::Metadata(STAGED_AS.into()), staged.to_owned().into());
        attributes.insert(Attribute::ContentType, "application/vnd.apache.parquet".into());
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let upload = wait(self.store.create_multipart_opts(&at, options))
            .map_err(|error| self.failed("beginning an upload to", published, &error))?;
        let begun = Begun { upload: upload.clone(), published: published.to_owned() };
        let json = serde_json::to_vec(&begun)
            .map_err(|error| Error::internal("parquet.s3.begun", format!("writing down an upload: {error}")))?;
        if !self.replace(staged, &json, None)? {
            let message =
                format!("staging {staged} in {}: expected a name of its own, got one that is taken", self.shown);
            return Err(Error::unavailable("parquet.s3.taken", message));
        }
        Ok(Box::new(Parts { bucket: self.clone(), at, upload, done: Vec::new(), part: Vec::new() }))
    }

    /// An upload that is complete but for being completed is as durable as it will be.
    fn settle_staged(&self, _directory: &str) -> Result<()> {
        Ok(())
    }

    fn publish(&self, file: &PlannedFile) -> Result<Found> {
        let Some(Upload { id, parts }) = &file.upload else {
            return Ok(Found::Other("a plan of another place, without an upload".to_owned()));
        };
        let found = match self.published(file)? {
            Some(found) => found,
            None => {
                let parts = parts.iter().map(|part| PartId { content_id: part.clone() }).collect();
                let completed = wait(self.store.complete_multipart(&self.at(&file.published)?, id, parts));
                match completed {
                    Ok(_) => Found::Published,
                    // Perhaps it did happen, now or before: what lies there decides.
                    Err(error) => match self.published(file)? {
                        Some(found) => found,
                        None if matches!(error, StoreError::NotFound { .. }) => Found::Nothing,
                        None => return Err(self.failed("publishing", &file.published, &error)),
                    },
                }
            }
        };
        if found == Found::Published {
            self.delete(vec![self.at(&file.staged)?])?;
        }
        Ok(found)
    }

    /// An object that is there is durable.
    fn settle_published(&self, _files: &[PlannedFile]) -> Result<()> {
        Ok(())
    }

    fn discard(&self, staged: &str) -> Result<()> {
        if let Some(content) = self.read(staged)?
            && let Ok(Begun { upload, published }) = serde_json::from_slice(&content.bytes)
        {
            match wait(self.store.abort_multipart(&self.at(&published)?, &upload)) {
                // Completed long ago, or aborted: there is nothing left of it.
                Ok(()) | Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("aborting an upload to", &published, &error)),
            }
        }
        self.delete(vec![self.at(staged)?])
    }
}

/// An upload while it goes on.
struct Parts {
    bucket: Bucket,
    at: Path,
    upload: String,
    done: Vec<String>,
    part: Vec<u8>,
}

impl Parts {
    fn send(&mut self) -> Result<()> {
        let part = std::mem::take(&mut self.part);
        let sent = wait(self.bucket.store.put_part(&self.at, &self.upload, self.done.len(), part.into()));
        let sent = sent.map_err(|error| {
            if matches!(error, StoreError::NotFound { .. }) {
                let message = format!(
                    "staging {}: expected the upload that was begun, got none: another session took over",
                    self.at
                );
                return Error::unavailable("parquet.s3.upload_gone", message);
            }
            self.bucket.failed("staging", self.at.as_ref(), &error)
        })?;
        self.done.push(sent.content_id);
        Ok(())
    }
}

impl StoredBytes for Parts {
    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PART_BYTES - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Option<Upload>> {
        if !self.part.is_empty() {
            self.send()?;
        }
        Ok(Some(Upload { id: self.upload, parts: self.done }))
    }
}

/// Storage blocks its thread, the store does not.
fn wait<F: Future>(future: F) -> F::Output {
    Handle::current().block_on(future)
}

fn parse(key: &str) -> Result<Path> {
    Path::parse(key).map_err(|error| {
        let message = format!("naming an object: expected what can be a key, got {key:?}: {error}");
        Error::config("files.resource.name", message).at_pointer("/name").suggest("name it otherwise")
    })
}

/// What went wrong, with its causes, on one line.
fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    // Of an answer in XML, what it says.
    let within =
        |tag: &str| Some(text.split_once(&format!("<{tag}>"))?.1.split_once(&format!("</{tag}>"))?.0.to_owned());
    if let (Some((before, _)), Some(code)) = (text.split_once('<'), within("Code")) {
        text = format!("{before}{code}: {}", within("Message").unwrap_or_default());
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use longshore_sdk::ErrorKind;

    use super::*;

    #[test]
    fn what_a_service_answers_says_who_has_to_do_what() {
        let bucket = Bucket::new(Arc::new(object_store::memory::InMemory::new()), "s3", "lake", "a").unwrap();
        let check = |answer: &str, kind: ErrorKind, code: &str, pointer: &str| {
            let error = StoreError::Generic { store: "S3", source: answer.to_owned().into() };
            let got = bucket.failed("listing", "x", &error);
            assert_eq!((got.kind, got.code.as_str(), got.pointer.as_str()), (kind, code, pointer), "{answer}");
            got.message.clone()
        };
        let no_bucket = "Server returned non-2xx status code: 404 Not Found: <?xml version=\"1.0\"?> <Error><Code>NoSuchBucket</Code><Message>It is not there</Message><HostId>x</HostId></Error>";
        let message = check(no_bucket, ErrorKind::Config, "parquet.s3.bucket", "/url");
        assert!(message.ends_with("404 Not Found: NoSuchBucket: It is not there"), "{message}");
        check(
            "403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code></Error>",
            ErrorKind::Config,
            "parquet.s3.refused",
            "/access_key_id",
        );
        check("301 Moved Permanently", ErrorKind::Config, "parquet.s3.region", "/region");
        check("503 Slow Down", ErrorKind::Unavailable, "parquet.s3.unreachable", "");
        check("connection refused", ErrorKind::Unavailable, "parquet.s3.unreachable", "");
    }
    /// A request that is repeated because its answer was lost meets what it wrote itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_write_that_is_repeated_has_happened_and_one_over_another_has_not() {
        longshore_sdk::blocking(|| {
            let bucket = Bucket::new(Arc::new(object_store::memory::InMemory::new()), "s3", "lake", "a").unwrap();
            let replace = |bytes: &[u8], over: Option<&Content>| bucket.replace("owner", bytes, over).unwrap();
            assert!(replace(b"one", None) && replace(b"one", None));
            assert!(!replace(b"two", None));
            let one = bucket.read("owner").unwrap();
            assert!(replace(b"two", one.as_ref()) && replace(b"two", one.as_ref()));
            assert!(!replace(b"three", one.as_ref()));
            assert_eq!(bucket.read("owner").unwrap().map(|content| content.bytes), Some(b"two".to_vec()));
        });
    }
}
