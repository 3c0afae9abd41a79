//! The statements that bring rows from beside a table into it: from the temporary table of a transaction, or from where a full refresh was stored.
//!
//! In each the table is called `t`, and the other one `s`.

use longshore_postgres::{Client, failed, quoted};
use longshore_sdk::Result;

use crate::config::Deletes;
use crate::deleted;
use crate::shape::Shape;
use crate::table::{TableName, quoted_list};

/// These, as one: each row of the source looks its key up. A server that has no statistics of a temporary table thinks it cheaper to read the other
/// one as a whole, whatever its size.
pub(crate) fn by_key(statements: &[String]) -> String {
    const OTHERS: [&str; 2] = ["enable_hashjoin", "enable_mergejoin"];
    let set = |to: &'static str| OTHERS.map(|name| format!("SET LOCAL {name} TO {to}"));
    let all = set("off").into_iter().chain(statements.iter().cloned()).chain(set("DEFAULT"));
    all.collect::<Vec<_>>().join("; ")
}

/// From one table into another.
#[derive(Debug)]
pub(crate) struct Merge<'s> {
    name: &'s TableName,
    shape: &'s Shape,
    deletes: Deletes,
    /// As it stands in a statement.
    source: &'s str,
    /// For each column of the shape that of the source, as it stands in a statement.
    places: Vec<String>,
    /// Both have a row with the same key.
    same: String,
}

impl<'s> Merge<'s> {
    /// Whoever calls says how rows go from this table, which may be one of rows that are stored aside.
    pub(crate) fn new(
        (name, shape): (&'s TableName, &'s Shape),
        deletes: Deletes,
        source: &'s str,
        place_of: impl Fn(usize, &str) -> String,
    ) -> Self {
        let columns = shape.columns.iter().enumerate();
        let places: Vec<String> = columns.map(|(place, column)| place_of(place, &column.name)).collect();
        let of = |&place: &usize| format!("t.{} = s.{}", quoted(&shape.columns[place].name), places[place]);
        let same = shape.key.iter().map(of).collect::<Vec<_>>().join(" AND ");
        Self { name, shape, deletes, source, places, same }
    }

    /// Rows go whose key is among these rows of the source.
    pub(crate) fn remove(&self, which: &str) -> String {
        let source = format!("{} s", self.source);
        self.deletes.remove(&self.name.sql(), Some(&source), &format!("{which} AND {}", self.same))
    }

    /// Rows go whose key the source has not.
    pub(crate) fn remove_others(&self) -> String {
        let condition = format!("NOT EXISTS (SELECT FROM {} s WHERE {})", self.source, self.same);
        self.deletes.remove(&self.name.sql(), None, &condition)
    }

    /// Rows that are there get what the parts of rows say. A large value that is kept is not even read.
    pub(crate) fn update_parts(&self) -> String {
        let keep = |(place, name): (usize, String)| {
            format!("{name} = CASE WHEN get_bit(s.kept, {place}) = 1 THEN t.{name} ELSE s.{} END", self.places[place])
        };
        format!(
            "UPDATE {} t SET {} FROM {} s WHERE s.kept IS NOT NULL AND {}{}",
            self.name.sql(),
            self.others().map(keep).collect::<Vec<_>>().join(", "),
            self.source,
            self.same,
            self.deletes.and_is_there()
        )
    }

    /// Of a row of the source: it is no part of a row that is there.
    pub(crate) fn is_no_part(&self) -> String {
        let is_there = format!("{}{}", self.same, self.deletes.and_is_there());
        format!("(s.kept IS NULL OR NOT EXISTS (SELECT FROM {} t WHERE {is_there}))", self.name.sql())
    }

    /// Rows come, and are written over where they are there; with `if_they_differ`, only those that differ in a byte.
    pub(crate) fn insert(&self, which: &str, if_they_differ: bool) -> String {
        let names = self.shape.column_names();
        let places: Vec<String> = self.places.iter().map(|place| format!("s.{place}")).collect();
        format!(
            "INSERT INTO {} AS t ({}) SELECT {} FROM {} s WHERE {which} ON CONFLICT ({}) DO {}",
            self.name.sql(),
            quoted_list(&names),
            places.join(", "),
            self.source,
            quoted_list(&self.shape.key_names()),
            self.write_over(if_they_differ)
        )
    }

    fn write_over(&self, if_they_differ: bool) -> String {
        let others: Vec<String> = self.others().map(|(_, name)| name).collect();
        let of = |whose: &str| others.iter().map(|name| format!("{whose}.{name}")).collect::<Vec<_>>().join(", ");
        let mut assignments: Vec<String> = others.iter().map(|name| format!("{name} = excluded.{name}")).collect();
        let mut reasons = Vec::new();
        if self.deletes == Deletes::Soft {
            assignments.push(format!("{} = false", deleted::COLUMN));
            reasons.push(format!("t.{}", deleted::COLUMN));
        }
        if if_they_differ && !others.is_empty() {
            // By their bytes: not every type has an equality, and to some 0 and -0, 1.0 and 1.00 are equal.
            reasons.push(format!("record_image_ne(ROW({}), ROW({}))", of("t"), of("excluded")));
        }
        let is_conditional = if_they_differ || others.is_empty();
        match (assignments.is_empty(), is_conditional) {
            (true, _) => "NOTHING".to_owned(),
            (false, true) => format!("UPDATE SET {} WHERE {}", assignments.join(", "), reasons.join(" OR ")),
            (false, false) => format!("UPDATE SET {}", assignments.join(", ")),
        }
    }

    /// What a marked row has in columns that this binding does not write, and an insert would give their defaults. To be run before rows of the
    /// source are inserted; none: there are no such columns.
    pub(crate) async fn reset(&self, client: &Client, which: &str) -> Result<Option<String>> {
        if self.deletes == Deletes::Hard {
            return Ok(None);
        }
        // Asked each time: whoever else alters the table does not tell.
        let select = "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped \
                      AND attname::text <> ALL ($2) ORDER BY attnum";
        let mut ours = self.shape.column_names();
        ours.push(deleted::COLUMN);
        let rows = client.query(select, &[&self.name.sql(), &ours]).await;
        let rows = rows.map_err(|error| failed(&format!("looking at table {}", self.name), &error))?;
        let defaults: Vec<String> =
            rows.iter().map(|row| format!("{} = DEFAULT", quoted(row.get::<_, &str>(0)))).collect();
        Ok((!defaults.is_empty()).then(|| {
            format!(
                "UPDATE {} t SET {} FROM {} s WHERE {which} AND {} AND t.{}",
                self.name.sql(),
                defaults.join(", "),
                self.source,
                self.same,
                deleted::COLUMN
            )
        }))
    }

    /// The columns that are no part of the key.
    fn others(&self) -> impl Iterator<Item = (usize, String)> {
        let columns = self.shape.columns.iter().enumerate().filter(|(place, _)| !self.shape.is_key(*place));
        columns.map(|(place, column)| (place, quoted(&column.name)))
    }
}
