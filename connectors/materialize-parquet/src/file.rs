//! Files: values are gathered by column up to a row group's worth, row groups are written as they fill, and a file that is large enough takes
//! no more. What was gathered is all that is held in memory.

use std::sync::Arc;

use bytes::Bytes;
use longshore_sdk::materialize::whole_files::{self, Resource, StagedFile};
use longshore_sdk::materialize::{Bound, StageId};
use longshore_sdk::{Error, Result};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use crate::config::{Compression, Config};
use crate::row::{Rows, Value};
use crate::shape::{Kind, Shape};

/// Values of a row group, as they lie in memory.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;
const ZSTD_LEVEL: i32 = 3;

/// How documents become Parquet files, of each binding.
#[derive(Debug)]
pub(crate) struct Columns {
    compression: Compression,
    file_bytes: u64,
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    collection: String,
    schema_version: u64,
    rows: Arc<Rows>,
}

impl Columns {
    pub(crate) fn new(config: &Config, bindings: &[Bound<Resource>]) -> Self {
        let binding = |bound: &Bound<Resource>| Binding {
            collection: bound.collection.name.clone(),
            schema_version: bound.collection.schema_version,
            rows: Arc::new(Rows::new(&bound.selection, Shape::of(&bound.selection, config.numbers))),
        };
        let bindings = bindings.iter().map(binding).collect();
        Self { compression: config.compression, file_bytes: config.file_bytes, bindings }
    }

    /// With what tells where a file is from, in its footer.
    fn properties(&self, binding: &Binding, stage: &StageId) -> Result<WriterPropertiesPtr> {
        let codec = match self.compression {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| failed(&error))?),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        };
        let told = [
            ("longshore.task", stage.task.clone()),
            ("longshore.collection", binding.collection.clone()),
            ("longshore.installation", stage.installation.to_string()),
            ("longshore.transaction", stage.transaction.to_string()),
            ("longshore.epoch", stage.epoch.to_string()),
            ("longshore.schema_version", binding.schema_version.to_string()),
        ];
        let told = told.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let created_by = concat!("longshore ", env!("CARGO_PKG_NAME"), " version ", env!("CARGO_PKG_VERSION"));
        Ok(Arc::new(
            WriterProperties::builder()
                .set_compression(codec)
                .set_created_by(created_by.to_owned())
                .set_key_value_metadata(Some(told.to_vec()))
                .build(),
        ))
    }
}

impl whole_files::Format for Columns {
    type File = ParquetFile;

    fn extension(&self) -> String {
        "parquet".to_owned()
    }

    /// Readers look for `**/*.parquet`, some in hidden directories too.
    fn staged_extension(&self) -> String {
        "parquet.staged".to_owned()
    }

    fn is_rolled(&self) -> bool {
        true
    }

    fn begin(&self, binding: usize, stage: &StageId, sink: StagedFile) -> Result<ParquetFile> {
        let of = &self.bindings[binding];
        let schema = of.rows.shape.schema()?;
        let properties = self.properties(of, stage)?;
        let writer = SerializedFileWriter::new(sink, schema, properties).map_err(|error| failed(&error))?;
        Ok(ParquetFile {
            writer,
            rows: Arc::clone(&of.rows),
            group: Group::new(&of.rows.shape),
            file_bytes: self.file_bytes,
        })
    }
}

/// A file while it is written.
pub(crate) struct ParquetFile {
    writer: SerializedFileWriter<StagedFile>,
    rows: Arc<Rows>,
    group: Group,
    file_bytes: u64,
}

impl whole_files::FormatFile for ParquetFile {
    fn write(&mut self, document: &[u8]) -> Result<()> {
        let mut row = Vec::with_capacity(self.rows.shape.columns.len());
        self.rows.row(document, &mut row)?;
        self.group.push(row);
        let full = usize::try_from(self.file_bytes).unwrap_or(usize::MAX).min(ROW_GROUP_BYTES_MAX);
        if self.group.bytes >= full { self.spill() } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.group.is_empty() && self.writer.bytes_written() as u64 >= self.file_bytes
    }

    fn buffered_bytes(&self) -> usize {
        self.group.bytes
    }

    /// Writes what was gathered as a row group.
    fn spill(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, Group::new(&self.rows.shape));
        write_group(&mut self.writer, group).map_err(|error| failed(&error))
    }

    fn finish(mut self) -> Result<StagedFile> {
        self.spill()?;
        self.writer.into_inner().map_err(|error| failed(&error))
    }
}

fn write_group(writer: &mut SerializedFileWriter<StagedFile>, group: Group) -> Result<(), ParquetError> {
    let mut row_group = writer.next_row_group()?;
    for column in group.columns {
        let Some(mut into) = row_group.next_column()? else { break };
        column.write(&mut into)?;
        into.close()?;
    }
    row_group.close().map(drop)
}

/// The values of a row group, by column.
struct Group {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl Group {
    fn new(shape: &Shape) -> Self {
        let column = |(_, kind): &(String, Kind)| Column { values: Values::of(*kind), levels: Vec::new() };
        Self { columns: shape.columns.iter().map(column).collect(), rows: 0, bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn push(&mut self, row: Vec<Value<'_>>) {
        for (column, value) in self.columns.iter_mut().zip(row) {
            self.bytes += column.push(value);
        }
        self.rows += 1;
    }
}

/// The values of one column that are there, and for each row whether one is.
struct Column {
    values: Values,
    levels: Vec<i16>,
}

enum Values {
    Integers(Vec<i64>),
    Doubles(Vec<f64>),
    Booleans(Vec<bool>),
    /// One behind the other, and where each ends.
    Texts(Vec<u8>, Vec<usize>),
}

impl Values {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Integer => Self::Integers(Vec::new()),
            Kind::Double => Self::Doubles(Vec::new()),
            Kind::Boolean => Self::Booleans(Vec::new()),
            Kind::Text | Kind::Digits | Kind::Json => Self::Texts(Vec::new(), Vec::new()),
        }
    }
}

impl Column {
    /// Returns how many bytes it is larger.
    fn push(&mut self, value: Value<'_>) -> usize {
        let size = match (&mut self.values, value) {
            (Values::Integers(values), Value::Integer(value)) => {
                values.push(value);
                size_of::<i64>()
            }
            (Values::Doubles(values), Value::Double(value)) => {
                values.push(value);
                size_of::<f64>()
            }
            (Values::Booleans(values), Value::Boolean(value)) => {
                values.push(value);
                1
            }
            (Values::Texts(bytes, ends), Value::Text(text)) => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(bytes.len());
                text.len() + size_of::<usize>()
            }
            // A value of another kind than the column's is not made.
            (_, _) => 0,
        };
        self.levels.push(i16::from(size > 0));
        size + size_of::<i16>()
    }

    fn write(self, into: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(self.levels.as_slice());
        let written = match self.values {
            Values::Integers(values) => into.typed::<Int64Type>().write_batch(&values, levels, None),
            Values::Doubles(values) => into.typed::<DoubleType>().write_batch(&values, levels, None),
            Values::Booleans(values) => into.typed::<BoolType>().write_batch(&values, levels, None),
            Values::Texts(bytes, ends) => {
                let bytes = Bytes::from(bytes);
                let begins = std::iter::once(0).chain(ends.iter().copied());
                let texts: Vec<ByteArray> =
                    begins.zip(&ends).map(|(begin, end)| ByteArray::from(bytes.slice(begin..*end))).collect();
                into.typed::<ByteArrayType>().write_batch(&texts, levels, None)
            }
        };
        written.map(drop)
    }
}

/// The format's own failure; what the storage says stands before it.
fn failed(error: &ParquetError) -> Error {
    Error::internal("parquet.write", format!("writing a staged file: {error}"))
}
