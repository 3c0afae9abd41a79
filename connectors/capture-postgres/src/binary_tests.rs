//! What is read in binary is what COPY writes as a text, asked of a server; and bytes that nobody sent.

use longshore_postgres::Client;
use longshore_postgres::testing::Database;
use proptest::prelude::*;

use super::*;
use crate::copy::Reading;
use crate::layout::Layout;
use crate::rows::Rows;
use crate::types::Type;
use crate::value;

/// Types, values at their borders, and random ones, as SQL.
const TYPES: [(&str, &str, &str); 25] = [
    ("boolean", "(true), (false)", "random() < 0.5"),
    ("smallint", "(-32768), (32767), (0)", "(random() * 65535 - 32768)::smallint"),
    ("integer", "(-2147483648), (2147483647), (0)", "(random() * 4e9 - 2e9)::integer"),
    ("bigint", "(-9223372036854775808), (9223372036854775807), (0)", "(random() * 1e19 - 5e18 - 1)::bigint"),
    (
        "numeric",
        "('NaN'), ('Infinity'), ('-Infinity'), (0), (0.00), (-0.0), (1), (10000), (9999.9999), (0.0001), (0.00001), (1e-20), (-1e-9), \
         (1e-16383), (1e131071), (-1e20), (100000000000000000000.00000000000000000001), (0.00010000), (20000.0002)",
        "((random() - 0.5) * 10 ^ (random() * 60 - 30))::numeric",
    ),
    ("numeric(12,2)", "(0), (-0.01), (9999999999.99), (0.1), (100)", "((random() - 0.5) * 1e10)::numeric(12,2)"),
    ("numeric(40,20)", "(0), (1), (1e-20)", "((random() - 0.5) * 10 ^ (random() * 30 - 15))::numeric(40,20)"),
    ("text", r"(''), (E'\\'), ('\\N'), (E'é\t\n\r\b\f\v'), ('NULL')", "md5(random()::text)"),
    ("character varying(40)", "(''), (' é ')", "md5(random()::text)"),
    ("character(40)", "(''), (' é '), ('x')", "md5(random()::text)"),
    ("json", r#"('{"a" : "\u00e9\\"}'), ('1.50')"#, "to_json(md5(random()::text))"),
    ("jsonb", r#"('{"b":1.50,"a":null}'), ('"\t"'), ('[]')"#, "jsonb_build_array(random(), md5(random()::text))"),
    (
        "real",
        "('NaN'), ('Infinity'), ('-Infinity'), ('-0'), (1e-45), (3.4028235e38), (123456), (1234567), (1e6)",
        "((random() - 0.5) * 10 ^ (random() * 60 - 30))::real",
    ),
    (
        "double precision",
        "('NaN'), ('Infinity'), ('-Infinity'), ('-0'), (5e-324), (1.7976931348623157e308), (1e15), (1e14), (1e23), (9007199254740993), (0.0001)",
        "(random() - 0.5) * 10 ^ (random() * 600 - 300)",
    ),
    ("bytea", r"('\x'), ('\x00ff7f80')", "decode(md5(random()::text), 'hex')"),
    ("uuid", "('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff')", "gen_random_uuid()"),
    (
        "date",
        "('infinity'), ('-infinity'), ('4714-11-24 BC'), ('0001-02-29 BC'), ('0001-12-31 BC'), ('0001-01-01'), ('1900-02-28'), ('2000-02-29'), \
         ('1999-12-31'), ('2000-01-01'), ('9999-12-31'), ('10000-01-01'), ('5874897-12-31')",
        "date '2000-01-01' + (random() * 4e6 - 2.4e6)::integer",
    ),
    (
        "time without time zone",
        "('00:00'), ('24:00'), ('23:59:59.999999')",
        "time '00:00' + random() * interval '1 day'",
    ),
    ("time with time zone", "('00:00+14'), ('24:00-15:59:59')", "timetz '00:00+02' + random() * interval '1 day'"),
    (
        "timestamp without time zone",
        "('infinity'), ('-infinity'), ('4714-11-24 00:00 BC'), ('0001-12-31 23:59:59.999999 BC'), ('0001-01-01'), ('1999-12-31 23:59:59.999999'), \
         ('2000-01-01'), ('2000-01-01 00:00:00.000001'), ('2000-01-01 00:00:00.1'), ('294276-12-31 23:59:59.999999')",
        "timestamp '2000-01-01' + (random() - 0.4) * interval '4000 years'",
    ),
    (
        "timestamp with time zone",
        "('infinity'), ('-infinity'), ('4714-11-24 00:00+00 BC'), ('0001-12-31 23:59:59.999999+00 BC'), ('2000-01-01 00:00:00.00001+14'), \
         ('294276-12-31 23:59:59.999999+00')",
        "timestamptz '2000-01-01' + (random() - 0.4) * interval '4000 years'",
    ),
    (
        "timestamp(3) with time zone",
        "('2024-02-29 12:00:00.1205')",
        "timestamptz '2000-01-01' + random() * interval '40 years'",
    ),
    ("interval", "('0'), ('-1 mon 2 days -3.5 s'), ('P1Y2M3DT4H5M6.7S')", "random() * interval '400 days'"),
    ("bit(5)", "('00000'), ('10101')", "(random() * 31)::integer::bit(5)"),
    ("bit varying", "(''), ('1'), ('0101010101')", "(random() * 511)::integer::bit(9)::bit varying"),
];
const RANDOM: usize = 2_000;

async fn read(client: &Client, of: &str, wires: Option<Vec<Wire>>, cast: &str) -> Rows {
    let text = || Type { form: value::Form::Text, format: None };
    let layout = Layout::for_tests([("n", text(), false), ("v", text(), true)].into_iter(), &["n"]);
    let reading = Reading { client, doing: of, layout: &layout, width: 2, wires, rows_max: usize::MAX };
    let mut rows = Rows::new(2).unread();
    let mut lines = reading.open(&format!("SELECT n, v{cast} FROM public.t ORDER BY n")).await.unwrap();
    assert!(lines.take(&mut rows, usize::MAX, usize::MAX).await.unwrap(), "{of}: the rows have an end");
    reading.texts(rows).unwrap()
}

#[tokio::test]
async fn a_value_in_binary_is_read_as_what_the_server_writes() {
    let database = Database::new();
    let client = Client::connect(&database.endpoint()).await.unwrap();
    for (of, values, random) in TYPES {
        database.run(&format!(
            "DROP TABLE IF EXISTS t; CREATE TABLE t (n serial, v {of}); INSERT INTO t (v) VALUES {values}; INSERT INTO t (v) VALUES (NULL); \
             INSERT INTO t (v) SELECT {random} FROM generate_series(1, {RANDOM})"
        ));
        let wire = Wire::of(of).unwrap_or_else(|| panic!("{of} is read in binary"));
        let texts = read(&client, of, None, "").await;
        let ours = read(&client, of, Some(vec![Wire::Integer, wire]), wire.cast()).await;
        assert!(texts.len() > RANDOM, "{of}");
        assert_eq!(ours.len(), texts.len(), "{of}");
        for (our, text) in ours.iter().zip(texts.iter()) {
            assert_eq!(our, text, "{of}");
        }
    }
}

#[test]
fn what_has_another_text_than_its_cast_is_not_read_in_binary() {
    for of in ["inet", "cidr", "xml", "point", "integer[]", "public.mood", "name", "\"char\"", "oid", "money"] {
        assert_eq!(Wire::of(of), None, "{of}");
    }
}

proptest! {
    #[test]
    fn no_message_makes_it_panic(
        rest in prop::collection::vec(prop::sample::select(vec![0_u8, 1, 2, 4, 8, 0x40, 0xff]), 0..40), wire in prop::sample::select(vec![
            Wire::Boolean, Wire::SmallInt, Wire::Numeric, Wire::Jsonb, Wire::Uuid, Wire::Date, Wire::Timestamp { zone: true }, Wire::Bytea,
        ]),
    ) {
        let mut reader = Reader::new(vec![wire]);
        let mut rows = Rows::new(1).unread();
        let length = i32::try_from(rest.len()).unwrap().to_be_bytes();
        prop_assert_ne!(reader.read(&[BEGIN, &[0, 1], &length, &rest].concat(), &mut rows), Ok(Got::End));
        prop_assert!(rest.len() >= 2 || reader.read(&rest, &mut rows).is_err());
    }
}

#[test]
fn messages_are_whole_rows() {
    let row = [&[0, 2][..], &[0, 0, 0, 2, 0, 7], &[0xff; 4]].concat();
    let read = |message: &[u8]| {
        let mut reader = Reader::new(vec![Wire::SmallInt, Wire::Text]);
        reader.read(message, &mut Rows::new(2).unread())
    };
    assert_eq!(read(&[BEGIN, &row].concat()), Ok(Got::Row));
    assert_eq!(read(&[BEGIN, &[0xff, 0xff]].concat()), Ok(Got::End));
    for length in 0..row.len() {
        assert!(read(&[BEGIN, &row[..length]].concat()).is_err(), "cut to {length} bytes");
    }
    assert!(read(&[BEGIN, &row, &[0]].concat()).is_err(), "one byte more");
    assert!(read(&row).is_err(), "without its beginning");
}
