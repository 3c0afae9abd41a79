//! How a bucket is reached: the one place where its keys are used.

use std::sync::Arc;
use std::time::Duration;

use longshore_sdk::{Error, Result};
use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, RetryConfig};

use crate::bucket::Bucket;
use crate::config::Config;

/// The runtime tries again too, later and later; a request that is under way is not given up at the first hiccup.
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The bucket that a config names. Reaches nothing yet.
pub(crate) fn bucket(config: &Config, bucket: &str, prefix: &str) -> Result<Bucket> {
    let expose = |key: &Option<longshore_sdk::Secret<String>>| key.as_ref().map(|key| key.expose().clone());
    let options = ClientOptions::new()
        .with_allow_http(config.allow_http)
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT);
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&config.region)
        .with_access_key_id(expose(&config.access_key_id).unwrap_or_default())
        .with_secret_access_key(expose(&config.secret_access_key).unwrap_or_default())
        .with_client_options(options)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    let store = builder.build().map_err(|error| {
        Error::config("parquet.s3.settings", format!("reaching the bucket {bucket}: {error}")).at_pointer("/url")
    })?;
    let service = config.endpoint.clone().unwrap_or_else(|| config.region.clone());
    Bucket::new(Arc::new(store), service.trim_end_matches('/'), bucket, prefix)
}
