//! Compares the rows of two ends, of the same key ranges.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use longshore_proto::Error;
use longshore_proto::verify::{Hasher, range_of};

/// Rows as they were told, by their keys in key encoding version 1.
pub type Rows = BTreeMap<Vec<u8>, Bytes>;

/// Keys in key encoding version 1.
pub type Keys = BTreeSet<Vec<u8>>;

/// Rows by their keys. Of two with one key, the last stays.
///
/// # Errors
/// A row is none of this binding.
pub fn by_key(hasher: &Hasher, rows: Vec<Bytes>) -> Result<Rows, Error> {
    let keyed = |row: Bytes| {
        let (key, _) = hasher.read_told(&row)?;
        Ok((key, row))
    };
    rows.into_iter().map(keyed).collect()
}

/// A key whose rows are not the same at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In key encoding version 1.
    pub key: Vec<u8>,
    /// The row of the source, as it was told; none: there is none.
    pub source: Option<Bytes>,
    /// The row of the destination.
    pub destination: Option<Bytes>,
    /// Where both have one: places of the values that differ.
    pub places: Vec<usize>,
}

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// In the order of their keys.
    pub differences: Vec<Difference>,
    /// Key ranges in which rows differ that were on their way.
    pub undecided: BTreeSet<usize>,
}

/// Compares. A key that was `touched` says nothing; of none it is known where that is `None`.
///
/// # Errors
/// A row is none of this binding.
pub fn compare(hasher: &Hasher, source: &Rows, destination: &Rows, touched: Option<&Keys>) -> Result<Compared, Error> {
    let mut compared = Compared::default();
    let keys: BTreeSet<&Vec<u8>> = source.keys().chain(destination.keys()).collect();
    for key in keys {
        let rows = (source.get(key), destination.get(key));
        let places = match rows {
            (Some(one), Some(other)) => {
                let (_, one) = hasher.read_told(one)?;
                let (_, other) = hasher.read_told(other)?;
                match hasher.unlike(&one, &other)? {
                    places if places.is_empty() => continue,
                    places => places,
                }
            }
            (_, _) => Vec::new(),
        };
        if touched.is_none_or(|touched| touched.contains(key)) {
            compared.undecided.insert(range_of(key));
        } else {
            let (source, destination) = (rows.0.cloned(), rows.1.cloned());
            compared.differences.push(Difference { key: key.clone(), source, destination, places });
        }
    }
    Ok(compared)
}
