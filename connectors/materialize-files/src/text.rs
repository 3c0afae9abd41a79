//! Lines of text as files: documents go through [`Lines`] and the compression.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use flate2::write::GzEncoder;
use longshore_sdk::materialize::whole_files::{self, Resource, StagedFile};
use longshore_sdk::materialize::{Bound, StageId};
use longshore_sdk::{Error, Result};

use crate::config::{Compression, Config};
use crate::lines::Lines;

const BUFFER_BYTES: usize = 256 << 10;
const ZSTD_LEVEL: i32 = 3;

/// How documents become text, of each binding.
pub(crate) struct Text {
    extension: String,
    compression: Compression,
    lines: Vec<Arc<Lines>>,
}

impl Text {
    pub(crate) fn new(config: &Config, bindings: &[Bound<Resource>]) -> Self {
        let lines = bindings.iter().map(|binding| Arc::new(Lines::of(config.format, binding))).collect();
        Self { extension: config.extension(), compression: config.compression, lines }
    }
}

impl whole_files::Format for Text {
    type File = TextFile;

    fn extension(&self) -> String {
        self.extension.clone()
    }

    fn begin(&self, binding: usize, _stage: &StageId, sink: StagedFile) -> Result<TextFile> {
        let lines = Arc::clone(&self.lines[binding]);
        let sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
        let mut encoder = Encoder::new(sink, self.compression).map_err(|error| failed(&error))?;
        encoder.write_all(&lines.header()).map_err(|error| failed(&error))?;
        Ok(TextFile { encoder, lines, line: Vec::new() })
    }
}

/// A file that nobody else sees.
pub(crate) struct TextFile {
    encoder: Encoder,
    lines: Arc<Lines>,
    line: Vec<u8>,
}

impl whole_files::FormatFile for TextFile {
    fn write(&mut self, document: &[u8]) -> Result<()> {
        self.line.clear();
        self.lines.write(document, &mut self.line)?;
        self.encoder.write_all(&self.line).map_err(|error| failed(&error))
    }

    fn finish(self) -> Result<StagedFile> {
        let sink = self.encoder.finish().map_err(|error| failed(&error))?;
        sink.into_inner().map_err(|error| failed(error.error()))
    }
}

/// The compression's own failure; what the storage says stands before it.
fn failed(error: &io::Error) -> Error {
    Error::unavailable("files.io", format!("writing a staged file: {error}"))
}

/// The way through the compression.
enum Encoder {
    None(BufWriter<StagedFile>),
    Gzip(GzEncoder<BufWriter<StagedFile>>),
    Zstd(zstd::Encoder<'static, BufWriter<StagedFile>>),
}

impl Encoder {
    fn new(sink: BufWriter<StagedFile>, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Encoder::None(sink),
            Compression::Gzip => Encoder::Gzip(GzEncoder::new(sink, flate2::Compression::default())),
            Compression::Zstd => Encoder::Zstd(zstd::Encoder::new(sink, ZSTD_LEVEL)?),
        })
    }

    fn finish(self) -> io::Result<BufWriter<StagedFile>> {
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
