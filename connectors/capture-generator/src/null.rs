//! Mode `null`: one batch, prepared once, so that what is measured is not the generator.

use longshore_sdk::{Batch, BatchBuilder, Error, Result};
use serde_json::json;

/// Bytes of a batch whose number of documents is not set: 1 MiB.
const BATCH_BYTES: usize = 1 << 20;

/// A batch of `documents` documents with bodies of this size.
pub(crate) fn batch(binding: usize, documents: Option<u32>, body_bytes: u32) -> Result<Batch> {
    let body = "n".repeat(body_bytes as usize);
    let mut builder = BatchBuilder::new(binding);
    loop {
        let id = builder.len();
        let full = match documents {
            Some(documents) => id == documents as usize,
            None => id > 0 && builder.byte_len() >= BATCH_BYTES,
        };
        if full {
            break;
        }
        let document = json!({ "id": id, "body": body }).to_string();
        if !builder.fits(document.len()) {
            let message =
                format!("preparing a batch: expected what fits into one message, got more than {id} documents");
            return Err(Error::config("generator.batch", message)
                .at_pointer("/documents")
                .suggest("set fewer documents or smaller bodies"));
        }
        builder.push(document.as_bytes());
    }
    builder.finish().ok_or_else(|| Error::config("generator.batch", "preparing a batch: expected documents, got none"))
}
