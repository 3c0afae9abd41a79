//! Values as COPY's binary format has them, made into the texts that the server's output functions would write: those of the log, and of keys. It
//! takes work off the server, which is busier than we are while a table is read.
//!
//! Only for types whose binary form is simple. Those whose text is not, but is what a cast to text gives, are asked for as texts ([`Wire::cast`]);
//! a table with any other type is read in COPY's text format ([`crate::copy`]).

use longshore_postgres::{Scalar, SqlType};

use crate::rows::Unread;

/// What the rows begin with: a signature, no flags, no further header.
const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Stands for the number of values behind the last row.
const END: i16 = -1;

/// How a value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Numeric,
    /// A text, whatever its type.
    Text,
    /// A value that the server casts to a text, which for these types is what their output functions write.
    Cast,
    Bytea,
    Jsonb,
    Uuid,
    Date,
    Timestamp {
        zone: bool,
    },
}

impl Wire {
    /// Of values of a type, as `format_type()` names it; none: they are to be read as COPY's texts.
    pub(crate) fn of(sql_type: &str) -> Option<Wire> {
        let SqlType { scalar, array: false } = SqlType::parse(sql_type)? else { return None };
        Some(match scalar {
            Scalar::Boolean => Wire::Boolean,
            Scalar::SmallInt => Wire::SmallInt,
            Scalar::Integer => Wire::Integer,
            Scalar::BigInt => Wire::BigInt,
            Scalar::Numeric(_) => Wire::Numeric,
            Scalar::Text | Scalar::Varchar(_) | Scalar::Char(_) | Scalar::Json => Wire::Text,
            // Nothing in `pg_cast` makes them a text, so their output functions do.
            Scalar::Real | Scalar::Double | Scalar::Time { .. } | Scalar::Interval { .. } | Scalar::Bit { .. } => {
                Wire::Cast
            }
            Scalar::Bytea => Wire::Bytea,
            Scalar::Jsonb => Wire::Jsonb,
            Scalar::Uuid => Wire::Uuid,
            Scalar::Date => Wire::Date,
            Scalar::Timestamp { zone, .. } => Wire::Timestamp { zone },
            Scalar::Plain(_) => return None,
        })
    }

    /// What stands behind its column in a SELECT.
    pub(crate) fn cast(self) -> &'static str {
        if self == Wire::Cast { "::text" } else { "" }
    }

    /// Appends the text of a value. The error is what was expected.
    fn write(self, value: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self {
            Wire::Boolean => out.push(if fixed(value)? == [0] { b'f' } else { b't' }),
            Wire::SmallInt => integer(i16::from_be_bytes(fixed(value)?).into(), out),
            Wire::Integer => integer(i32::from_be_bytes(fixed(value)?).into(), out),
            Wire::BigInt => integer(i64::from_be_bytes(fixed(value)?), out),
            Wire::Numeric => numeric(value, out)?,
            Wire::Text | Wire::Cast => out.extend_from_slice(value),
            Wire::Bytea => {
                out.extend_from_slice(b"\\x");
                value.iter().for_each(|byte| hex(*byte, out));
            }
            Wire::Jsonb => match value.split_first() {
                Some((1, text)) => out.extend_from_slice(text),
                Some(_) | None => return Err("jsonb of version 1"),
            },
            Wire::Uuid => uuid(fixed(value)?, out),
            Wire::Date => match i32::from_be_bytes(fixed(value)?) {
                i32::MAX => out.extend_from_slice(b"infinity"),
                i32::MIN => out.extend_from_slice(b"-infinity"),
                days => {
                    let era = date(days.into(), out);
                    out.extend_from_slice(era);
                }
            },
            Wire::Timestamp { zone } => match i64::from_be_bytes(fixed(value)?) {
                i64::MAX => out.extend_from_slice(b"infinity"),
                i64::MIN => out.extend_from_slice(b"-infinity"),
                micros => {
                    let era = date(micros.div_euclid(DAY_MICROS), out);
                    out.push(b' ');
                    time(micros.rem_euclid(DAY_MICROS), out);
                    // Every session of ours is in UTC.
                    out.extend_from_slice(if zone { b"+00" } else { b"" });
                    out.extend_from_slice(era);
                }
            },
        }
        Ok(())
    }
}

/// What comes out of a message of a COPY.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Row,
    End,
}

/// Reads the messages of one COPY: a row each, the first behind the beginning of all.
#[derive(Debug)]
pub(crate) struct Reader {
    wires: Vec<Wire>,
    has_begun: bool,
}

impl Reader {
    pub(crate) fn new(wires: Vec<Wire>) -> Reader {
        Reader { wires, has_begun: false }
    }

    /// Reads a message; after an error nothing of it is of use.
    pub(crate) fn read(&mut self, message: &[u8], rows: &mut Unread) -> Result<Got, String> {
        let mut rest = message;
        if !std::mem::replace(&mut self.has_begun, true) {
            rest = rest.strip_prefix(BEGIN).ok_or("expected rows in binary, got something else")?;
        }
        const SHORT: &str = "expected a whole row, got a part of one";
        let count = i16::from_be_bytes(*take(&mut rest).ok_or(SHORT)?);
        if count == END && rest.is_empty() {
            return Ok(Got::End);
        }
        if usize::try_from(count) != Ok(self.wires.len()) {
            return Err(format!("expected {} values in a row, got {count}", self.wires.len()));
        }
        for wire in &self.wires {
            let length = i32::from_be_bytes(*take(&mut rest).ok_or(SHORT)?);
            let Ok(length) = usize::try_from(length) else {
                rows.null();
                continue;
            };
            let (value, behind) = rest.split_at_checked(length).ok_or(SHORT)?;
            rest = behind;
            rows.written(|out| wire.write(value, out)).map_err(|expected| {
                format!("expected {expected} as a value of {wire:?}, got {} other bytes", value.len())
            })?;
        }
        rows.check_room(0)?;
        if rest.is_empty() { Ok(Got::Row) } else { Err(format!("expected a row, got {} bytes more", rest.len())) }
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(first)
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], &'static str> {
    value.try_into().map_err(|_| "as many bytes as its type has")
}

fn integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn hex(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn uuid(bytes: [u8; 16], out: &mut Vec<u8>) {
    for (place, byte) in bytes.into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        hex(byte, out);
    }
}

/// Digits of base 10,000, the first of them `weight` places of that base before the point, and how many decimal ones are shown behind it.
fn numeric(mut value: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
    const NEGATIVE: u16 = 0x4000;
    const EXPECTED: &str = "a number of digits";
    let mut next = || take(&mut value).map(|bytes| u16::from_be_bytes(*bytes)).ok_or(EXPECTED);
    let (count, weight, sign, scale) = (next()?, next()?, next()?, next()?);
    let no_number: &[u8] = match sign {
        0 => b"",
        NEGATIVE => {
            out.push(b'-');
            b""
        }
        0xc000 => b"NaN",
        0xd000 => b"Infinity",
        0xf000 => b"-Infinity",
        _ => return Err(EXPECTED),
    };
    if !no_number.is_empty() {
        out.extend_from_slice(no_number);
        return Ok(());
    }
    let (digits, rest) = value.as_chunks::<2>();
    if digits.len() != usize::from(count) || !rest.is_empty() {
        return Err(EXPECTED);
    }
    let weight = i32::from(weight.cast_signed());
    let digit = |place: i32| {
        let digit = usize::try_from(place).ok().and_then(|place| digits.get(place));
        digit.map_or(0, |digit| u16::from_be_bytes(*digit))
    };
    integer(if weight < 0 { 0 } else { digit(0).into() }, out);
    (1..=weight).for_each(|place| out.extend_from_slice(&four(digit(place))));
    if scale > 0 {
        out.push(b'.');
        let whole = out.len() + usize::from(scale);
        for place in weight + 1.. {
            if out.len() >= whole {
                break;
            }
            out.extend_from_slice(&four(digit(place)));
        }
        out.truncate(whole);
    }
    Ok(())
}

fn four(group: u16) -> [u8; 4] {
    [1000, 100, 10, 1].map(|by| b'0' + (group / by % 10) as u8)
}

fn two(number: u8, out: &mut Vec<u8>) {
    out.extend([b'0' + number / 10, b'0' + number % 10]);
}

const DAY_MICROS: i64 = 86_400_000_000;

/// Appends the date so many days after 2000-01-01, and gives what stands behind it and its time: of which era it is.
fn date(days: i64, out: &mut Vec<u8>) -> &'static [u8] {
    // Years that begin in March have their leap day at the end; all 400 of them it is the same.
    const SINCE_MARCH_OF_YEAR_0: i64 = 730_425;
    const OF_400_YEARS: i64 = 146_097;
    let days = days + SINCE_MARCH_OF_YEAR_0;
    let (centuries, day) = (days.div_euclid(OF_400_YEARS), days.rem_euclid(OF_400_YEARS));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (year * 365 + year / 4 - year / 100);
    let month = (day * 5 + 2) / 153;
    let day = day - (month * 153 + 2) / 5 + 1;
    let year = centuries * 400 + year + i64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    // There is no year 0.
    let (shown, era) = if year > 0 { (year, &b""[..]) } else { (1 - year, &b" BC"[..]) };
    match u16::try_from(shown) {
        Ok(shown @ 0..=9999) => out.extend_from_slice(&four(shown)),
        Ok(_) | Err(_) => integer(shown, out),
    }
    out.push(b'-');
    two(month as u8, out);
    out.push(b'-');
    two(day as u8, out);
    era
}

/// Appends a time of a day, with as much of a second as there is.
fn time(micros: i64, out: &mut Vec<u8>) {
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    two((seconds / 3600) as u8, out);
    out.push(b':');
    two((seconds / 60 % 60) as u8, out);
    out.push(b':');
    two((seconds % 60) as u8, out);
    if micros > 0 {
        out.push(b'.');
        two((micros / 10_000) as u8, out);
        out.extend_from_slice(&four((micros % 10_000) as u16));
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
