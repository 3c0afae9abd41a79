//! Values as the server's own binary form has them, for COPY: what it would make of their texts, made here, where that is cheaper than parsing
//! on both sides. Only for plain values of types whose form is simple; whoever meets another one writes its rows as texts ([`crate::value`]),
//! which stays the rule of what a column keeps. What stands here is compared with that by tests.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use longshore_postgres::{Scalar, SqlType};
use longshore_sdk::materialize::exact::{double, integer, text};

use crate::decimal::is_real;

/// What a binary COPY begins with: its signature, no flags, no further header.
pub(crate) const BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// And ends with.
pub(crate) const END: &[u8] = &[0xff, 0xff];

/// The value is not written: its text has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unusual;

type Written = Result<(), Unusual>;

/// Whether plain values of the type can be written here.
pub(crate) fn knows(of: SqlType) -> bool {
    !of.array
        && match of.scalar {
            Scalar::Boolean
            | Scalar::SmallInt
            | Scalar::Integer
            | Scalar::BigInt
            | Scalar::Real
            | Scalar::Double
            | Scalar::Text
            | Scalar::Varchar(_)
            | Scalar::Bytea
            | Scalar::Uuid
            | Scalar::Json
            | Scalar::Jsonb
            | Scalar::Date
            | Scalar::Timestamp { .. } => true,
            // A scale may be below zero.
            Scalar::Numeric(of) => of.is_none_or(|(_, scale)| scale >= 0),
            Scalar::Char(_) | Scalar::Time { .. } | Scalar::Interval { .. } | Scalar::Bit { .. } | Scalar::Plain(_) => {
                false
            }
        }
}

/// Begins a row of so many values.
pub(crate) fn begin_row(width: usize, out: &mut Vec<u8>) {
    // A table has at most 1600 columns.
    out.extend_from_slice(&(width as u16).to_be_bytes());
}

pub(crate) fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

pub(crate) fn boolean(value: bool, out: &mut Vec<u8>) {
    bytes(&[u8::from(value)], out);
}

/// `bit varying`, a bit for each of these.
pub(crate) fn bits(values: &[bool], out: &mut Vec<u8>) {
    let packed = values
        .chunks(8)
        .map(|eight| eight.iter().enumerate().fold(0_u8, |byte, (place, bit)| byte | u8::from(*bit) << (7 - place)));
    out.extend_from_slice(&(4 + values.len().div_ceil(8) as u32).to_be_bytes());
    out.extend_from_slice(&(values.len() as u32).to_be_bytes());
    out.extend(packed);
}

/// The text of a value of type `json`.
pub(crate) fn bytes(value: &[u8], out: &mut Vec<u8>) {
    // A document has at most 16 MiB.
    out.extend_from_slice(&(value.len() as u32).to_be_bytes());
    out.extend_from_slice(value);
}

/// Appends a value that is not null. After an error, what was appended is to be cut off.
pub(crate) fn value(of: Scalar, is_key: bool, raw: &str, out: &mut Vec<u8>) -> Written {
    match (raw.as_bytes().first(), of) {
        (_, Scalar::Json) => bytes(raw.as_bytes(), out),
        (_, Scalar::Jsonb) => {
            const VERSION: u8 = 1;
            out.extend_from_slice(&(1 + raw.len() as u32).to_be_bytes());
            out.push(VERSION);
            out.extend_from_slice(raw.as_bytes());
        }
        (Some(b'-' | b'0'..=b'9'), of) => return number(of, is_key, raw, out),
        (Some(b't'), Scalar::Boolean) => boolean(true, out),
        (Some(b'f'), Scalar::Boolean) => boolean(false, out),
        (Some(b'"'), of) => return string(of, is_key, raw, out),
        (_, _) => return Err(Unusual),
    }
    Ok(())
}

fn number(of: Scalar, is_key: bool, raw: &str, out: &mut Vec<u8>) -> Written {
    match of {
        Scalar::BigInt => bytes(&integer(raw).ok_or(Unusual)?.to_be_bytes(), out),
        Scalar::Integer => {
            let number = integer(raw).and_then(|number| i32::try_from(number).ok());
            bytes(&number.ok_or(Unusual)?.to_be_bytes(), out);
        }
        Scalar::SmallInt => {
            let number = integer(raw).and_then(|number| i16::try_from(number).ok());
            bytes(&number.ok_or(Unusual)?.to_be_bytes(), out);
        }
        // In a key each has one text only; that is looked at elsewhere.
        Scalar::Double if !is_key => bytes(&double(raw).ok_or(Unusual)?.to_be_bytes(), out),
        Scalar::Real if !is_key && is_real(raw) => {
            bytes(&raw.parse::<f32>().map_err(|_| Unusual)?.to_be_bytes(), out);
        }
        Scalar::Numeric(of) => return numeric(raw, of.map(|(_, scale)| scale), out),
        Scalar::Real
        | Scalar::Double
        | Scalar::Boolean
        | Scalar::Text
        | Scalar::Varchar(_)
        | Scalar::Char(_)
        | Scalar::Bytea
        | Scalar::Uuid
        | Scalar::Json
        | Scalar::Jsonb
        | Scalar::Date
        | Scalar::Time { .. }
        | Scalar::Timestamp { .. }
        | Scalar::Interval { .. }
        | Scalar::Bit { .. }
        | Scalar::Plain(_) => return Err(Unusual),
    }
    Ok(())
}

/// More digits than these, before the point or behind it, are left to the server.
const NUMERIC_DIGITS_MAX: usize = 64;

/// Digits of base 10,000, four of ours each, counted from the point in both directions.
fn numeric(raw: &str, scale: Option<i16>, out: &mut Vec<u8>) -> Written {
    const POSITIVE: u16 = 0;
    const NEGATIVE: u16 = 0x4000;
    let (is_negative, unsigned) = raw.strip_prefix('-').map_or((false, raw), |unsigned| (true, unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let (whole, fraction) = (whole.as_bytes(), fraction.as_bytes());
    let is_plain = |digits: &[u8]| digits.len() <= NUMERIC_DIGITS_MAX && digits.iter().all(u8::is_ascii_digit);
    if !is_plain(whole) || !is_plain(fraction) {
        return Err(Unusual);
    }
    let behind = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if scale.is_some_and(|scale| usize::try_from(scale).is_ok_and(|scale| behind > scale)) {
        return Err(Unusual);
    }
    let mut digits = [0_u16; NUMERIC_DIGITS_MAX / 2];
    let mut count = 0;
    let four = |digits: &[u8]| digits.iter().fold(0_u16, |four, digit| four * 10 + u16::from(digit - b'0'));
    let (head, fours) = whole.split_at(whole.len() % 4);
    let groups = (!head.is_empty()).then_some(head).into_iter().chain(fours.chunks_exact(4)).map(four);
    let mut before = 0_i16;
    for group in groups.skip_while(|group| *group == 0) {
        digits[count] = group;
        (count, before) = (count + 1, before + 1);
    }
    let mut weight = before - 1;
    for part in fraction[..behind].chunks(4) {
        let group = four(part) * 10_u16.pow(4 - part.len() as u32);
        match count == 0 && group == 0 {
            true => weight -= 1,
            false => {
                digits[count] = group;
                count += 1;
            }
        }
    }
    while count > 0 && digits[count - 1] == 0 {
        count -= 1;
    }
    if count == 0 {
        weight = 0;
    }
    let sign = if is_negative && count > 0 { NEGATIVE } else { POSITIVE };
    out.extend_from_slice(&(8 + 2 * count as u32).to_be_bytes());
    out.extend_from_slice(&(count as u16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(fraction.len() as u16).to_be_bytes());
    digits[..count].iter().for_each(|digit| out.extend_from_slice(&digit.to_be_bytes()));
    Ok(())
}

fn string(of: Scalar, is_key: bool, raw: &str, out: &mut Vec<u8>) -> Written {
    let text = text(raw).ok_or(Unusual)?;
    match of {
        Scalar::Text | Scalar::Varchar(_) => {
            // Only an escape says a NUL character.
            let has_nul = || matches!(text, Cow::Owned(_)) && text.contains('\0');
            let is_long = |max: u32| text.len() > max as usize && text.chars().count() > max as usize;
            if has_nul() || matches!(of, Scalar::Varchar(Some(max)) if is_long(max)) {
                return Err(Unusual);
            }
            bytes(text.as_bytes(), out);
        }
        Scalar::Uuid => bytes(&uuid(text.as_bytes()).ok_or(Unusual)?, out),
        Scalar::Bytea => {
            let begin = out.len();
            out.extend_from_slice(&[0; 4]);
            STANDARD.decode_vec(text.as_bytes(), out).map_err(|_| Unusual)?;
            let length = out.len() - begin - 4;
            out[begin..begin + 4].copy_from_slice(&(length as u32).to_be_bytes());
        }
        Scalar::Date => {
            let (days, rest) = day(text.as_bytes()).ok_or(Unusual)?;
            if !rest.is_empty() {
                return Err(Unusual);
            }
            bytes(&days.to_be_bytes(), out);
        }
        // In a key a moment has one text only; that is looked at elsewhere.
        Scalar::Timestamp { zone, precision } if !is_key => {
            let micros = moment(text.as_bytes(), zone, precision.unwrap_or(6)).ok_or(Unusual)?;
            bytes(&micros.to_be_bytes(), out);
        }
        Scalar::Timestamp { .. }
        | Scalar::Boolean
        | Scalar::SmallInt
        | Scalar::Integer
        | Scalar::BigInt
        | Scalar::Numeric(_)
        | Scalar::Real
        | Scalar::Double
        | Scalar::Char(_)
        | Scalar::Json
        | Scalar::Jsonb
        | Scalar::Time { .. }
        | Scalar::Interval { .. }
        | Scalar::Bit { .. }
        | Scalar::Plain(_) => return Err(Unusual),
    }
    Ok(())
}

/// Of a text as the server prints it.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    const DASHES: [usize; 4] = [8, 13, 18, 23];
    const PAIRS: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let text: &[u8; 36] = text.try_into().ok()?;
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut uuid = [0; 16];
    for (byte, at) in uuid.iter_mut().zip(PAIRS) {
        *byte = digit(text[at])? << 4 | digit(text[at + 1])?;
    }
    DASHES.iter().all(|dash| text[*dash] == b'-').then_some(uuid)
}

/// So many days after 2000-01-01 begins a text as `2024-01-31`, of years with four digits; and what stands behind it.
fn day(text: &[u8]) -> Option<(i32, &[u8])> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let [a, b, c, d, b'-', e, f, b'-', g, h] = *date else { return None };
    let year = i32::from(pair(a, b)?) * 100 + i32::from(pair(c, d)?);
    let (month, day) = (pair(e, f)?, pair(g, h)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u8::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    // There is no year 0.
    if year == 0 || !(1..=days).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (years, months) = match month {
        1 | 2 => (year - 1, i32::from(month) + 9),
        _ => (year, i32::from(month) - 3),
    };
    let before = years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + i32::from(day) - 1;
    const BEFORE_2000: i32 = 730_425;
    Some((before - BEFORE_2000, rest))
}

/// Microseconds since 2000-01-01: of `2024-01-31T12:30:00.5Z` with a zone, of `2024-01-31 12:30:00.5` without.
fn moment(text: &[u8], zone: bool, precision: u8) -> Option<i64> {
    let (days, rest) = day(text)?;
    let (clock, rest) = rest.split_first_chunk::<9>()?;
    let [between, a, b, b':', c, d, b':', e, f] = *clock else { return None };
    let (hours, minutes, seconds) = (pair(a, b)?, pair(c, d)?, pair(e, f)?);
    let rest = if zone { rest.strip_suffix(b"Z")? } else { rest };
    if between != (if zone { b'T' } else { b' ' }) || hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let micros = match rest.split_first() {
        None => 0,
        Some((b'.', fraction)) => {
            let kept = fraction.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
            if fraction.is_empty() || kept > usize::from(precision.min(6)) || !fraction.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let digits = fraction[..kept].iter().fold(0, |all, digit| all * 10 + i64::from(digit - b'0'));
            digits * 10_i64.pow(6 - kept as u32)
        }
        Some(_) => return None,
    };
    let of_day = (i64::from(hours) * 60 + i64::from(minutes)) * 60 + i64::from(seconds);
    Some((i64::from(days) * 86_400 + of_day) * 1_000_000 + micros)
}

fn pair(tens: u8, ones: u8) -> Option<u8> {
    (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + ones - b'0')
}
