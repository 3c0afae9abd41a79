//! A staged file while it is written: documents go through the format, the compression and the checksum, and the file ends durable.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::write::GzEncoder;
use longshore_sdk::Result;
use sha2::{Digest as _, Sha256};

use crate::config::Compression;
use crate::disk::{failed, hex};
use crate::lines::Lines;

const BUFFER_BYTES: usize = 256 << 10;
const ZSTD_LEVEL: i32 = 3;

/// A file that nobody else sees.
pub(crate) struct StagedFile {
    path: PathBuf,
    encoder: Encoder,
    lines: Arc<Lines>,
    line: Vec<u8>,
}

/// What was staged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) size: u64,
    pub(crate) checksum: String,
}

impl StagedFile {
    /// A new file: a name that is taken is an error.
    pub(crate) fn create(path: &Path, compression: Compression, lines: Arc<Lines>) -> Result<Self> {
        let at = |error| failed("staging", path, &error);
        let file = File::create_new(path).map_err(at)?;
        let sink = BufWriter::with_capacity(BUFFER_BYTES, Summed { file, sha: Sha256::new(), size: 0 });
        let mut encoder = Encoder::new(sink, compression).map_err(at)?;
        encoder.write_all(&lines.header()).map_err(at)?;
        Ok(Self { path: path.to_owned(), encoder, lines, line: Vec::new() })
    }

    /// Adds a document.
    pub(crate) fn write(&mut self, document: &[u8]) -> Result<()> {
        self.line.clear();
        self.lines.write(document, &mut self.line)?;
        self.encoder.write_all(&self.line).map_err(|error| failed("staging", &self.path, &error))
    }

    /// Nothing more comes: the file is durable. Its name is when its directory is synced.
    pub(crate) fn finish(self) -> Result<Staged> {
        let finish = || {
            let sink = self.encoder.finish()?;
            let Summed { file, sha, size } = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.sync_all()?;
            Ok(Staged { size, checksum: hex(&sha.finalize()) })
        };
        finish().map_err(|error| failed("staging", &self.path, &error))
    }
}

/// Counts and sums what goes to the disk.
struct Summed {
    file: File,
    sha: Sha256,
    size: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The way through the compression.
enum Encoder {
    None(BufWriter<Summed>),
    Gzip(GzEncoder<BufWriter<Summed>>),
    Zstd(zstd::Encoder<'static, BufWriter<Summed>>),
}

impl Encoder {
    fn new(sink: BufWriter<Summed>, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Encoder::None(sink),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(sink, ZSTD_LEVEL)?),
        })
    }

    fn finish(self) -> io::Result<BufWriter<Summed>> {
        match self {
            Encoder::None(sink) => Ok(sink),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Write for Encoder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::None(sink) => sink.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
            Encoder::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::None(sink) => sink.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
            Encoder::Zstd(encoder) => encoder.flush(),
        }
    }
}
