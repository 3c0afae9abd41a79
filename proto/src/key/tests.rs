//! Key encoding against a simple oracle: parts compared one by one, numbers as exact decimals.

use std::cmp::Ordering;

use super::*;
use proptest::prelude::*;

fn encode(key_json: &str) -> Vec<u8> {
    encode_json_key(key_json.as_bytes()).unwrap_or_else(|error| panic!("{key_json}: {error}"))
}

fn check_ascending(keys: &[&str]) {
    for pair in keys.windows(2) {
        assert!(encode(pair[0]) < encode(pair[1]), "{} < {}", pair[0], pair[1]);
    }
}

fn check_equal(keys: &[&str]) {
    for pair in keys.windows(2) {
        assert_eq!(encode(pair[0]), encode(pair[1]), "{} = {}", pair[0], pair[1]);
    }
}

#[test]
fn kinds_of_values_come_in_order() {
    check_ascending(&["[null]", "[false]", "[true]", "[-1]", "[0]", "[1]", r#"[""]"#, r#"["a"]"#]);
}

#[test]
fn numbers_compare_by_exact_value_however_they_are_written() {
    check_equal(&["[1]", "[1.0]", "[1e0]", "[10e-1]", "[0.1E+1]", "[1.000000000000000000000000000000]"]);
    check_equal(&["[0]", "[-0]", "[0.0]", "[0e99]", "[-0.000e-5]"]);
    check_equal(&["[1000]", "[1e3]", "[1E+03]"]);
    check_ascending(&[
        "[-1e308]",
        "[-18446744073709551617]",
        "[-18446744073709551616]",
        "[-100]",
        "[-99.5]",
        "[-10]",
        "[-9]",
        "[-1.5]",
        "[-1]",
        "[-0.1]",
        "[-1e-400]",
        "[0]",
        "[1e-400]",
        "[0.1]",
        "[0.10000000000000000000000000000000001]",
        "[1]",
        "[9]",
        "[10]",
        "[99]",
        "[100]",
        "[9007199254740992]",
        "[9007199254740993]",
        "[18446744073709551616]",
        "[18446744073709551617]",
        "[1e64]",
        "[1e308]",
    ]);
}

#[test]
fn exponents_have_a_bound() {
    check_ascending(&["[1e-1000000000]", "[1e-400]", "[1]"]);
    let code = |key: &str| encode_json_key(key.as_bytes()).expect_err(key).code.clone();
    assert_eq!(code("[1e-9999999999999999999999999]"), "key.exponent");
    assert_eq!(code("[1e400]"), "document.json", "beyond a double, as in documents");
    assert_eq!(code("[-1e9999999999999999999999999]"), "document.json");
}

#[test]
fn strings_compare_by_their_bytes_and_hold_nul() {
    check_ascending(&[
        r#"[""]"#,
        r#"["\u0000"]"#,
        r#"["\u0000a"]"#,
        r#"["\u0001"]"#,
        r#"["a"]"#,
        r#"["a\u0000"]"#,
        r#"["aa"]"#,
        r#"["é"]"#,
        r#"["\ud83d\ude00"]"#,
    ]);
    check_equal(&[r#"["a/\"é😀"]"#, r#"["\u0061\/\u0022\u00e9\uD83D\uDE00"]"#]);
}

#[test]
fn parts_do_not_run_into_each_other() {
    check_ascending(&[r#"["a","b"]"#, r#"["a\u0000","a"]"#, r#"["ab",""]"#]);
    check_ascending(&["[]", "[1]", "[1,null]", "[1,1]", "[12]"]);
    check_ascending(&[r#"["a"]"#, r#"["a",null]"#, r#"["a",-5]"#, r#"["a",""]"#]);
}

#[test]
fn x_7_a_key_is_an_array_of_scalars() {
    for bad in [
        "",
        "1",
        "{}",
        "[",
        "[1",
        "[1,]",
        "[,]",
        "[1]2",
        "[nul]",
        "[01]",
        "[\"\\x\"]",
        "[\"a]",
        "[1e]",
        "[+1]",
        "[NaN]",
    ] {
        assert_eq!(encode_json_key(bad.as_bytes()).expect_err(bad).code, "document.json", "{bad}");
    }
    for bad in ["[[]]", "[{}]", "[1,[2]]"] {
        assert_eq!(encode_json_key(bad.as_bytes()).expect_err(bad).code, "key.type", "{bad}");
    }
    assert!(encode_json_key(b"[\"\xff\"]").is_err());
}

#[test]
fn the_encoding_is_on_disk_and_does_not_change() {
    let hex = |key: &str| encode(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(r#"[null,false,true]"#), "050607");
    assert_eq!(hex(r#"[1,-1,0]"#), "12810b0010 7ef4ff 11".replace(' ', ""));
    assert_eq!(hex(r#"[12345]"#), "12850d233300");
    assert_eq!(hex(r#"[1e100]"#), "12c0800000650b00");
    assert_eq!(hex(r#"[1e-100]"#), "123f7fffff9d0b00");
    assert_eq!(hex(r#"["a\u0000b"]"#), "206100ff6200");
}

/// A part of a key as the oracle sees it.
#[derive(Debug, Clone)]
enum Part {
    Null,
    Bool(bool),
    /// Mantissa and power of ten.
    Number(i64, i32),
    String(String),
}

impl Part {
    fn to_json(&self) -> String {
        match self {
            Part::Null => "null".to_owned(),
            Part::Bool(value) => value.to_string(),
            Part::Number(mantissa, 0) => mantissa.to_string(),
            Part::Number(mantissa, exponent @ -5..=-1) => {
                let digits = format!("{:06}", mantissa.unsigned_abs());
                let (before, behind) = digits.split_at(digits.len() - exponent.unsigned_abs() as usize);
                let before = before.trim_start_matches('0');
                format!(
                    "{}{}.{behind}",
                    if *mantissa < 0 { "-" } else { "" },
                    if before.is_empty() { "0" } else { before }
                )
            }
            Part::Number(mantissa, exponent) => format!("{mantissa}e{exponent}"),
            Part::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Part::Null => 0,
            Part::Bool(_) => 1,
            Part::Number(..) => 2,
            Part::String(_) => 3,
        }
    }

    fn order(&self, other: &Part) -> Ordering {
        match (self, other) {
            (Part::Bool(a), Part::Bool(b)) => a.cmp(b),
            (Part::Number(a, a_power), Part::Number(b, b_power)) => {
                let least = a_power.min(b_power);
                let scaled = |value: &i64, power: &i32| i128::from(*value) * 10_i128.pow(power.abs_diff(*least));
                scaled(a, a_power).cmp(&scaled(b, b_power))
            }
            (Part::String(a), Part::String(b)) => a.as_bytes().cmp(b.as_bytes()),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

fn part() -> impl Strategy<Value = Part> {
    // Small ranges, so that equal and neighbouring values are common.
    let number = prop_oneof![
        (-30_i64..30, -3..3).prop_map(|(mantissa, exponent)| Part::Number(mantissa, exponent)),
        (any::<i32>(), -5..6).prop_map(|(mantissa, exponent)| Part::Number(i64::from(mantissa), exponent)),
        any::<i64>().prop_map(|mantissa| Part::Number(mantissa, 0)),
    ];
    prop_oneof![
        Just(Part::Null),
        any::<bool>().prop_map(Part::Bool),
        number,
        "[\\x00\\x01a\u{ff}\u{10ffff}]{0,3}".prop_map(Part::String),
        ".{0,8}".prop_map(Part::String),
    ]
}

fn to_json(parts: &[Part]) -> String {
    format!("[{}]", parts.iter().map(Part::to_json).collect::<Vec<_>>().join(","))
}

fn oracle(a: &[Part], b: &[Part]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn x_7_the_order_of_the_bytes_is_the_order_of_the_keys(
        a in proptest::collection::vec(part(), 0..4),
        b in proptest::collection::vec(part(), 0..4),
    ) {
        let (a_json, b_json) = (to_json(&a), to_json(&b));
        prop_assert_eq!(encode(&a_json).cmp(&encode(&b_json)), oracle(&a, &b), "{} against {}", a_json, b_json);
    }
}
