//! A cursor: a column by whose values new rows are found, and what of it is asked again. A pure module: values are texts of the server, and what
//! is reckoned with them the server reckons.
//!
//! **Why late rows are seen.** A transaction takes the value v of a row's cursor at some moment, and is committed later: a session in between
//! reads past v and does not see the row. `look_back` L says how much later at most. A session notes, before it reads anything, the *mark* M: the
//! greatest value there is, but no value that lies in the future. It reads the rows from the mark before minus L on. Say it misses the row,
//! which is committed at c, after the session read there, so after it noted M. As M is not in the future of that moment, M < c, and c ≤ v + L:
//! so v > M − L, and the next session reads there again. A session that breaks goes on under the mark that it noted, not under a later one,
//! for the same reason. For numbers, "moment" is how far the sequence was.

use std::time::Duration;

use longshore_postgres::quoted;
use longshore_sdk::time::Time;
use longshore_sdk::{Error, Result};

use super::NAME;
use super::config::LookBack;
use crate::copy::typed;
use crate::table::Column;
use crate::value::Form;

/// So much is looked back where nothing is said.
const TIME_DEFAULT: Duration = Duration::from_secs(60);
const COUNT_DEFAULT: u64 = 10_000;
/// More is a mistake: 10 years.
const TIME_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

/// A column to ask by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) column: String,
    /// Its type, as SQL has it.
    sql_type: String,
    scale: Scale,
    pub(super) may_be_null: bool,
}

/// What kind of values it has, with how far it looks back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Integer(u64),
    Numeric(u64),
    /// In days.
    Date(u64),
    /// Without a time zone: whose clock it is nobody knows.
    Timestamp(Duration),
    Moment(Duration),
}

impl Cursor {
    /// A column as a cursor.
    pub(super) fn new(column: &Column, look_back: Option<LookBack>) -> Result<Cursor> {
        let scale = Scale::of(column).ok_or_else(|| {
            let message = format!(
                "{NAME} looks at cursor {:?}: expected a column of type smallint, integer, bigint, numeric, date or timestamp, got {}",
                column.name, column.sql
            );
            Error::config("postgres.cursor.type", message)
                .at_pointer("/cursor")
                .suggest("name another column, or take `cursor` out: then each session reads all rows")
        })?;
        Ok(Cursor {
            column: column.name.clone(),
            sql_type: column.sql.clone(),
            scale: scale.looking_back(look_back)?,
            may_be_null: !column.is_not_null,
        })
    }

    /// Whether this column could be one.
    pub(super) fn fits(column: &Column) -> bool {
        Scale::of(column).is_some()
    }

    /// Name and type: under another one, values that were noted say nothing.
    pub(super) fn typed(&self) -> String {
        format!("{} {}", self.column, self.sql_type)
    }

    pub(super) fn sql(&self) -> String {
        quoted(&self.column)
    }

    /// A value as SQL has it.
    pub(super) fn value(&self, text: &str) -> String {
        typed(text, &self.sql_type)
    }

    /// An expression for the least value that rows may still come with when the mark is this. Where it can be, it is of a type that an index
    /// on the column serves.
    pub(super) fn floor(&self, mark: &str) -> String {
        match self.scale {
            // Reckoned here, as the server would take less than the least bigint for an error.
            Scale::Integer(count) => {
                let mark: i64 = mark.parse().unwrap_or(i64::MIN);
                format!("CAST('{}' AS bigint)", mark.saturating_sub_unsigned(count))
            }
            Scale::Numeric(count) => format!("({} - {count})", typed(mark, "numeric")),
            Scale::Date(days) => format!("({} - {days})", typed(mark, "date")),
            Scale::Timestamp(time) => format!("({} - {})", typed(mark, "timestamp"), interval(time)),
            Scale::Moment(time) => format!("({} - {})", typed(mark, "timestamptz"), interval(time)),
        }
    }

    /// A mark that lies below all values, where all of them lie in the future.
    pub(super) fn least(&self) -> String {
        match self.scale {
            Scale::Integer(_) => i64::MIN.to_string(),
            Scale::Numeric(_) | Scale::Date(_) | Scale::Timestamp(_) | Scale::Moment(_) => "-Infinity".to_owned(),
        }
    }

    /// A select of two texts: the greatest value there is, and the mark.
    pub(super) fn select_marks(&self, from: &str) -> String {
        let column = self.sql();
        let greatest = |of: &str| format!("max({of})");
        let mark = match self.scale {
            Scale::Integer(_) => greatest(&column),
            Scale::Numeric(_) => format!("(SELECT max({column}) FROM {from} WHERE {column} < 'Infinity')"),
            // The latest that a clock can show anywhere now.
            Scale::Date(_) => {
                format!("least(max({column}), CAST((now() AT TIME ZONE 'UTC') + interval '14 hours' AS date))")
            }
            Scale::Timestamp(_) => {
                format!("least(max({column}), (now() AT TIME ZONE 'UTC') + interval '14 hours')")
            }
            Scale::Moment(_) => format!("least(max({column}), now())"),
        };
        format!("SELECT CAST({} AS text), CAST({mark} AS text) FROM {from}", greatest(&column))
    }
}

impl Scale {
    fn of(column: &Column) -> Option<Scale> {
        let format = column.ty.format.as_deref();
        match (&column.ty.form, format) {
            (Form::Integer, _) => Some(Scale::Integer(COUNT_DEFAULT)),
            (Form::Number, Some(name)) if name.starts_with("pg:numeric") => Some(Scale::Numeric(COUNT_DEFAULT)),
            (Form::Text, Some("date")) => Some(Scale::Date(days(TIME_DEFAULT))),
            (Form::Text, Some(name)) if name.starts_with("pg:timestamp") => Some(Scale::Timestamp(TIME_DEFAULT)),
            (Form::Timestamp, _) => Some(Scale::Moment(TIME_DEFAULT)),
            (Form::Boolean | Form::Number | Form::Text | Form::Json | Form::Bytes | Form::Array(..), _) => None,
        }
    }

    fn looking_back(self, look_back: Option<LookBack>) -> Result<Scale> {
        let Some(look_back) = look_back else { return Ok(self) };
        let fault = |expected: &str, got: String| {
            let message = format!("{NAME} reads `look_back`: expected {expected}, got {got}");
            Err(Error::config("postgres.look_back", message)
                .at_pointer("/look_back")
                .suggest("numbers look back by a number such as `10000`, dates and timestamps by a time such as `60s`"))
        };
        match (self, look_back) {
            (_, LookBack::Time(Time(time))) if time > TIME_MAX => fault("at most ten years", format!("{time:?}")),
            (Scale::Integer(_), LookBack::Count(count)) => Ok(Scale::Integer(count)),
            (Scale::Numeric(_), LookBack::Count(count)) => Ok(Scale::Numeric(count)),
            (Scale::Date(_), LookBack::Time(Time(time))) => Ok(Scale::Date(days(time))),
            (Scale::Timestamp(_), LookBack::Time(Time(time))) => Ok(Scale::Timestamp(time)),
            (Scale::Moment(_), LookBack::Time(Time(time))) => Ok(Scale::Moment(time)),
            (Scale::Integer(_) | Scale::Numeric(_), LookBack::Time(Time(time))) => {
                fault("a number, as the cursor is one", format!("{time:?}"))
            }
            (Scale::Date(_) | Scale::Timestamp(_) | Scale::Moment(_), LookBack::Count(count)) => {
                fault("a time, as the cursor is one", count.to_string())
            }
        }
    }
}

/// Whole ones: a row of yesterday may be committed today, however short the time.
fn days(time: Duration) -> u64 {
    time.as_micros().div_ceil(DAY.as_micros()) as u64
}

fn interval(time: Duration) -> String {
    format!("interval '{} microseconds'", time.as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Type;

    fn column(form: Form, format: Option<&str>, sql: &str) -> Column {
        Column::for_tests("c", Type { form, format: format.map(str::to_owned) }, sql)
    }

    #[track_caller]
    fn floor(column: &Column, look_back: Option<LookBack>, mark: &str, wanted: &str) {
        assert_eq!(Cursor::new(column, look_back).unwrap().floor(mark), wanted);
    }

    #[test]
    fn what_is_asked_again_lies_on_the_scale_of_the_column() {
        let time = |seconds| Some(LookBack::Time(Time(Duration::from_secs(seconds))));
        let bigint = column(Form::Integer, None, "bigint");
        floor(&bigint, None, "20000", "CAST('10000' AS bigint)");
        floor(&bigint, Some(LookBack::Count(0)), "-5", "CAST('-5' AS bigint)");
        floor(&bigint, None, "-9223372036854775800", "CAST('-9223372036854775808' AS bigint)");
        let numeric = column(Form::Number, Some("pg:numeric(12,2)"), "numeric(12,2)");
        floor(&numeric, Some(LookBack::Count(7)), "1.50", "(CAST('1.50' AS numeric) - 7)");
        let date = column(Form::Text, Some("date"), "date");
        floor(&date, None, "2024-01-01", "(CAST('2024-01-01' AS date) - 1)");
        floor(&date, time(0), "2024-01-01", "(CAST('2024-01-01' AS date) - 0)");
        floor(&date, time(86_401), "2024-01-01", "(CAST('2024-01-01' AS date) - 2)");
        let moment = column(Form::Timestamp, Some("date-time"), "timestamp(3) with time zone");
        let wanted = "(CAST('2024-01-01 00:00:00+00' AS timestamptz) - interval '60000000 microseconds')";
        floor(&moment, None, "2024-01-01 00:00:00+00", wanted);
    }

    #[test]
    fn what_has_no_distances_is_no_cursor_and_a_look_back_is_of_its_scale() {
        for (form, format) in
            [(Form::Text, None), (Form::Text, Some("uuid")), (Form::Number, Some("pg:real")), (Form::Boolean, None)]
        {
            let error = Cursor::new(&column(form, format, "x"), None).unwrap_err();
            assert_eq!((error.code.as_str(), error.pointer.as_str()), ("postgres.cursor.type", "/cursor"));
        }
        let bigint = column(Form::Integer, None, "bigint");
        let moment = column(Form::Timestamp, Some("date-time"), "timestamptz");
        for (column, look_back) in [
            (&bigint, LookBack::Time(Time(DAY))),
            (&moment, LookBack::Count(1)),
            (&moment, LookBack::Time(Time(TIME_MAX * 2))),
        ] {
            assert_eq!(Cursor::new(column, Some(look_back)).unwrap_err().code, "postgres.look_back");
        }
    }
}
