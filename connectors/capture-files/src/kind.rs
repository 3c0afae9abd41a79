//! What a text value is: the lattice of guessed types, and the sets of JSON types a column's values have had.
//!
//! The one rule: a guess never changes a value. What JSON or a 64-bit destination could not hold as a number with every digit stays text.
//! Columns, with their names and schemas, are in `shape.rs`.

use serde_json::Value;

/// What a value is, or what all values of a column have in common. Null is below all, text above all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing but null words so far.
    Null,
    /// `true` or `false`, in lower case.
    Boolean,
    /// Within ±2^53: stays exact when its column turns into numbers.
    Integer,
    /// A 64-bit integer beyond ±2^53: exact as an integer, not as a floating-point number.
    Long,
    /// A decimal that a double holds with all its digits.
    Number,
    /// Anything else.
    String,
}

impl Kind {
    /// The narrowest kind that holds both without changing a value.
    pub(crate) fn join(self, other: Kind) -> Kind {
        use Kind::*;
        match (self, other) {
            (Null, kind) | (kind, Null) => kind,
            (Boolean, Boolean) => Boolean,
            (Integer, Integer) => Integer,
            (Integer | Long, Integer | Long) => Long,
            (Integer | Number, Integer | Number) => Number,
            (Boolean | Integer | Long | Number | String, Boolean | Integer | Long | Number | String) => String,
        }
    }
}

/// Tells what `text` is. Null words are the caller's business.
pub(crate) fn classify(text: &[u8]) -> Kind {
    match text {
        b"true" | b"false" => Kind::Boolean,
        [b'0'..=b'9' | b'-' | b'.', ..] => classify_number(text),
        _ => Kind::String,
    }
}

/// Digits that an `f64` gives back as they were written.
const EXACT_DIGITS: usize = 17;
const EXACT_INTEGER_MAX: u64 = 1 << 53;

fn classify_number(text: &[u8]) -> Kind {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let whole = count_digits(unsigned);
    if whole > 1 && unsigned[0] == b'0' {
        return Kind::String; // 007 is a name, not a number
    }
    match &unsigned[whole..] {
        [] if whole == 0 => Kind::String,
        [] if text == b"-0" => Kind::Number, // as an integer it would lose its sign
        [] if whole < 16 => Kind::Integer,
        [] => classify_long(text),
        [b'.', rest @ ..] => {
            let fraction = count_digits(rest);
            let exponent = &rest[fraction..];
            // `5.` and `.5` have an exact JSON spelling (`write_number`); `5.e3` and `.` are left alone.
            let spelled = whole + fraction > 0 && (fraction > 0 || exponent.is_empty());
            if spelled && is_exponent_or_empty(exponent) { classify_decimal(text, exponent) } else { Kind::String }
        }
        exponent if whole > 0 && is_exponent_or_empty(exponent) => classify_decimal(text, exponent),
        _ => Kind::String,
    }
}

fn classify_long(text: &[u8]) -> Kind {
    match std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok()) {
        Some(value) if value.unsigned_abs() <= EXACT_INTEGER_MAX => Kind::Integer,
        Some(_) => Kind::Long,
        None => Kind::String,
    }
}

fn classify_decimal(text: &[u8], exponent: &[u8]) -> Kind {
    if exponent.is_empty() && text.len() <= EXACT_DIGITS {
        return Kind::Number;
    }
    let mantissa = &text[..text.len() - exponent.len()];
    let digits = || mantissa.iter().copied().filter(u8::is_ascii_digit);
    let first = digits().position(|digit| digit != b'0');
    let last = digits().enumerate().filter(|(_, digit)| *digit != b'0').last();
    let significant = match (first, last) {
        (Some(first), Some((last, _))) => last + 1 - first,
        (None, _) | (_, None) => 0,
    };
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
    let held = value.is_some_and(|value| value.is_normal() || significant == 0);
    if held && significant <= EXACT_DIGITS { Kind::Number } else { Kind::String }
}

fn count_digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn is_exponent_or_empty(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The JSON types a column's values have had, or are said to have; one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TypeSet(u8);

impl TypeSet {
    pub(crate) const NONE: TypeSet = TypeSet(0);
    pub(crate) const NULL: TypeSet = TypeSet(1);
    pub(crate) const BOOLEAN: TypeSet = TypeSet(2);
    pub(crate) const INTEGER: TypeSet = TypeSet(4);
    /// Holds integers too.
    pub(crate) const NUMBER: TypeSet = TypeSet(8 | 4);
    pub(crate) const STRING: TypeSet = TypeSet(16);
    pub(crate) const OBJECT: TypeSet = TypeSet(32);
    pub(crate) const ARRAY: TypeSet = TypeSet(64);
    /// Not a type: documents may lack the column.
    pub(crate) const ABSENT: TypeSet = TypeSet(128);
    /// Every value there is.
    pub(crate) const ANY: TypeSet = TypeSet(127);

    const NAMES: [(TypeSet, &'static str); 8] = [
        (TypeSet::BOOLEAN, "boolean"),
        (TypeSet::NUMBER, "number"),
        (TypeSet::INTEGER, "integer"),
        (TypeSet::STRING, "string"),
        (TypeSet::OBJECT, "object"),
        (TypeSet::ARRAY, "array"),
        (TypeSet::NULL, "null"),
        (TypeSet::ABSENT, "absent"),
    ];

    pub(crate) fn has(self, other: TypeSet) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn with(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 | other.0)
    }

    pub(crate) fn without(self, other: TypeSet) -> TypeSet {
        TypeSet(self.0 & !other.0)
    }

    /// The kind in which a guessed column's values are written: the widest it has had.
    pub(crate) fn widest(self) -> Kind {
        let numbers = self.has(TypeSet::INTEGER);
        let booleans = self.has(TypeSet::BOOLEAN);
        let other = self.0 & (TypeSet::STRING.0 | TypeSet::OBJECT.0 | TypeSet::ARRAY.0) != 0;
        match (other, numbers, booleans) {
            (true, _, _) | (false, true, true) => Kind::String,
            (false, true, false) if self.has(TypeSet::NUMBER) => Kind::Number,
            (false, true, false) => Kind::Integer,
            (false, false, true) => Kind::Boolean,
            (false, false, false) => Kind::Null,
        }
    }

    /// Names as in JSON Schema (and `absent`), the widest number only.
    pub(crate) fn names(self) -> Vec<&'static str> {
        let shown =
            |(set, _): &(TypeSet, &str)| self.has(*set) && !(*set == TypeSet::INTEGER && self.has(TypeSet::NUMBER));
        TypeSet::NAMES.iter().filter(|entry| shown(entry)).map(|(_, name)| *name).collect()
    }

    /// Guessed types give way to the widest: text holds all numbers.
    pub(crate) fn guessed(self) -> TypeSet {
        if self.has(TypeSet::STRING) && !self.has(TypeSet::ANY) { self.without(TypeSet::NUMBER) } else { self }
    }

    /// Types that are what they are stand beside each other. Numbers beside text are every value: schemas widen from number to text, and
    /// a schema that says text admits no number.
    pub(crate) fn actual(self) -> TypeSet {
        if self.has(TypeSet::STRING.with(TypeSet::INTEGER)) { self.with(TypeSet::ANY) } else { self }
    }

    /// What `type` says in a JSON Schema: one name, or an array of them; none: it says nothing, as every value will do.
    pub(crate) fn to_schema(self) -> Option<Value> {
        match self.without(TypeSet::ABSENT).names().as_slice() {
            _ if self.has(TypeSet::ANY) => None,
            // No value at all: as wide as one of null words.
            [] => Some(Value::from("null")),
            [one] => Some(Value::from(*one)),
            names => Some(Value::from(names.to_vec())),
        }
    }

    /// Reads a name, or an array of names, as [`TypeSet::to_schema`] and [`TypeSet::names`] write them. Unknown names are dropped.
    pub(crate) fn from_json(names: &Value) -> TypeSet {
        let one = |name: &Value| {
            TypeSet::NAMES.iter().find(|(_, known)| name.as_str() == Some(known)).map_or(TypeSet::NONE, |(set, _)| *set)
        };
        match names.as_array() {
            Some(names) => names.iter().map(one).fold(TypeSet::NONE, TypeSet::with),
            None => one(names),
        }
    }
}

impl From<Kind> for TypeSet {
    fn from(kind: Kind) -> TypeSet {
        match kind {
            Kind::Null => TypeSet::NULL,
            Kind::Boolean => TypeSet::BOOLEAN,
            Kind::Integer | Kind::Long => TypeSet::INTEGER,
            Kind::Number => TypeSet::NUMBER,
            Kind::String => TypeSet::STRING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_number_only_where_every_digit_survives() {
        let check = |kind: Kind, texts: &[&str]| {
            for text in texts {
                assert_eq!(classify(text.as_bytes()), kind, "{text}");
            }
        };
        check(Kind::Boolean, &["true", "false"]);
        check(Kind::Integer, &["0", "7", "-7", "1357", "9007199254740992", "-9007199254740992"]);
        check(Kind::Long, &["9007199254740993", "9223372036854775807", "-9223372036854775808"]);
        check(
            Kind::Number,
            &["1e3", "1E+3", "-1.5e-7", "10.357019999999999", "0.0", "-0", "-0.0", ".5", "-.5", "5.", "1e308"],
        );
        check(Kind::Number, &["0.100000000000000000000000000000", "0e99999"]);
        check(
            Kind::String,
            &["", "007", "-007", "00", "+1", "NaN", "inf", "-inf", "Infinity", "0x10", "1_000", "1,5", " 1", "1 "],
        );
        check(
            Kind::String,
            &["TRUE", "True", "-", ".", "-.", "5.e3", "e3", "1e", "1e+", "1.2.3", "--1", "2013-01-01", "1.5x"],
        );
        check(Kind::String, &["9223372036854775808", "-9223372036854775809", "18446744073709551616"]);
        check(
            Kind::String,
            &["1e400", "-1e400", "1e-400", "4.9e-324", "0.1234567890123456789", "123456789012345678.5"],
        );
    }

    #[test]
    fn kinds_join_upwards_and_in_any_order() {
        use Kind::*;
        let all = [Null, Boolean, Integer, Long, Number, String];
        for a in all {
            assert_eq!(a.join(a), a);
            assert_eq!(a.join(Null), a);
            assert_eq!(a.join(String), String);
            for b in all {
                assert_eq!(a.join(b), b.join(a));
                for c in all {
                    assert_eq!(a.join(b).join(c), a.join(b.join(c)), "{a:?} {b:?} {c:?}");
                }
            }
        }
        assert_eq!(Integer.join(Number), Number);
        assert_eq!(Integer.join(Boolean), String);
        assert_eq!(Long.join(Number), String, "a double would round it");
    }

    #[test]
    fn a_set_of_types_goes_through_a_schema_and_back() {
        let set = TypeSet::NUMBER.with(TypeSet::NULL);
        assert_eq!(set.to_schema(), Some(serde_json::json!(["number", "null"])));
        assert_eq!(set.to_schema().map(|names| TypeSet::from_json(&names)), Some(set));
        assert_eq!(TypeSet::ANY.to_schema(), None);
        assert_eq!(TypeSet::from_json(&serde_json::json!(TypeSet::ANY.names())), TypeSet::ANY);
        assert_eq!(TypeSet::INTEGER.with(TypeSet::STRING).guessed(), TypeSet::STRING);
        assert_eq!(TypeSet::INTEGER.with(TypeSet::STRING).actual(), TypeSet::ANY);
        assert_eq!(TypeSet::from_json(&serde_json::json!("integer")), TypeSet::INTEGER);
        assert_eq!(TypeSet::ABSENT.with(TypeSet::STRING).names(), ["string", "absent"]);
        assert_eq!(TypeSet::NUMBER.widest(), Kind::Number);
        assert_eq!(TypeSet::INTEGER.with(TypeSet::NULL).widest(), Kind::Integer);
        assert_eq!(TypeSet::INTEGER.with(TypeSet::BOOLEAN).widest(), Kind::String);
        assert_eq!(TypeSet::NULL.widest(), Kind::Null);
    }
}
