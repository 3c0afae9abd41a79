//! Values of every type that both connectors for PostgreSQL know: the ends of each type, and random ones that the server makes itself. What is
//! compared with them is in `tests/tests/postgres_values.rs`.
//!
//! Left out, as they do not come through as they are today, and each loudly or by a mapping that the connectors' READMEs name: numbers beyond
//! a double's range (refused by the runtime, X-6), JSON's null beside NULL, blanks around the whole of a `json`, arrays with bounds other than 1, and
//! arrays of JSON.

use std::fmt::Write as _;

use longshore_postgres::testing::Server;

/// A type, what the copy has instead of it if anything, an expression for random values, and literals for its ends.
pub struct Kind(&'static str, &'static str, &'static str, &'static [&'static str]);

/// Types of one table.
const WIDTH: usize = 8;
/// Functions that random values are made with. All are volatile, so that each row has its own.
const FUNCTIONS: &str = r#"
CREATE FUNCTION pick(VARIADIC of text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT of[1 + floor(random() * array_length(of, 1))::int] $$;
CREATE FUNCTION below(n int) RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT floor(random() * n)::int $$;
CREATE FUNCTION bits() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT ('x' || left(md5(random()::text), 16))::bit(64)::bigint >> below(64) $$;
CREATE FUNCTION any_float() RETURNS float8 LANGUAGE sql VOLATILE AS $$ SELECT CASE below(5) WHEN 0 THEN below(2000) - 1000
    WHEN 4 THEN 1125899906842624 + random() * 8796093022208 WHEN 1 THEN (random() - 0.5) * 10::float8 ^ (below(600) - 300) WHEN 2 THEN round((random() * 1000)::numeric, below(5)) ELSE random() END $$;
CREATE FUNCTION words(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT coalesce(string_agg(pick('a', 'Z', '0', ' ', '"', '\', '''', '{', '}', ',', ';', 'ü',
    '𝄞', E'\n', E'\t', E'\r', E'\x01', E'\x7f', 'NULL', 'null', '(', ')', '<', '&', '😀', '\.', '\N', E'\u2028', '/', '%', '$1', 'e' || E'\u0301', 'true'), ''), '')
    FROM generate_series(1, below(n + 1)) $$;
CREATE FUNCTION digits(n int) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT left(translate(md5(random()::text) || md5(random()::text), 'abcdef', '012345'), 1 + below(n)) $$;
CREATE FUNCTION exact() RETURNS numeric LANGUAGE sql VOLATILE AS $$ SELECT (pick('', '-') || digits(40) || pick('', '.' || digits(40)))::numeric
    * CASE below(3) WHEN 0 THEN 10::numeric ^ below(200) ELSE 1 END $$;
CREATE FUNCTION micros() RETURNS timestamp LANGUAGE sql VOLATILE AS $$ SELECT timestamp '2000-01-01' + CASE below(3)
    WHEN 0 THEN (random() * 9.2e18 - 2e17) * interval '1 microsecond' WHEN 1 THEN (random() - 0.5) * 1e17 * interval '1 microsecond'
    ELSE below(1000000000) * interval '1 second' END $$;
CREATE FUNCTION moment() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT micros() AT TIME ZONE 'UTC' $$;
CREATE FUNCTION day() RETURNS date LANGUAGE sql VOLATILE AS $$ SELECT date '2000-01-01' + CASE below(2) WHEN 0 THEN below(2140000000) - below(2400000) ELSE below(20000) - 10000 END $$;
CREATE FUNCTION clock() RETURNS time LANGUAGE sql VOLATILE AS $$ SELECT time '00:00' + below(86400) * interval '1 second' + CASE below(2) WHEN 0 THEN below(1000000) ELSE 0 END * interval '1 microsecond' $$;
CREATE FUNCTION span() RETURNS interval LANGUAGE sql VOLATILE AS $$ SELECT make_interval(years => (random() < 0.5)::int * (below(400) - 200), months => below(40) - 20,
    days => (random() < 0.5)::int * (below(4000) - 2000), secs => (random() < 0.7)::int * ((below(200000000) - 100000000) / 1000.0)) $$;
CREATE FUNCTION dot() RETURNS point LANGUAGE sql VOLATILE AS $$ SELECT point(any_float(), any_float()) $$;
CREATE FUNCTION bounds() RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT pick('[)', '(]', '[]', '()') $$;
CREATE FUNCTION json_text(depth int) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN
    IF depth > 0 AND random() < 0.5 THEN RETURN '[' || coalesce((SELECT string_agg(coalesce(json_text(depth - 1), 'null'), pick(',', ' , ')) FROM generate_series(1, below(4))), '') || ']'; END IF;
    IF depth > 0 AND random() < 0.7 THEN RETURN '{' || coalesce((SELECT string_agg(to_json(n || words(3))::text || pick(':', ' : ') || json_text(depth - 1), ', ') FROM generate_series(1, below(4)) n), '') || pick('}', ' }'); END IF;
    RETURN CASE below(5) WHEN 0 THEN to_json(words(12))::text WHEN 1 THEN exact()::text WHEN 2 THEN any_float()::text WHEN 3 THEN pick('true', 'false') ELSE bits()::text END; END $$;
CREATE TYPE mood AS ENUM ('sad', 'it''s "x"', 'a,b', '', 'NULL');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN small AS int CHECK (value < 1000);
CREATE DOMAIN price AS numeric(8,2);
"#;

/// Every type of `connectors/postgres/src/types.rs`, those with modifiers in several ways, and what users make.
pub const KINDS: &[Kind] = &[
    Kind("boolean", "", "random() < 0.5", &["true", "false"]),
    Kind("smallint", "", "below(65536) - 32768", &["-32768", "0", "32767"]),
    Kind("integer", "", "bits() >> 33", &["-2147483648", "0", "2147483647"]),
    Kind("bigint", "", "bits()", &["-9223372036854775808", "0", "9223372036854775807", "9007199254740993"]),
    Kind(
        "numeric",
        "",
        "exact()",
        &[
            "0",
            "-0.0",
            "1.50",
            "1e300",
            "-1e-300",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0.10000000000000000000000001",
        ],
    ),
    Kind("numeric(12,2)", "", "(bits() % 1000000000000) / 100.0", &["9999999999.99", "-9999999999.99", "0", "'NaN'"]),
    Kind("numeric(3,-2)", "", "(below(1998) - 999) * 100", &["99900", "-100", "0"]),
    Kind("numeric(2,5)", "", "(below(199) - 99) / 100000.0", &["0.00099", "-0.00001"]),
    Kind(
        "real",
        "",
        "((random() - 0.5) * 10::float8 ^ (below(70) - 35))::real",
        &[
            "'-0'",
            "0.1",
            "3.4028235e38",
            "-3.4028235e38",
            "1e-45",
            "1.17549435e-38",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "16777217",
            "1504660.25",
            "-1504661.25",
            "2.7442079e+09",
        ],
    ),
    Kind(
        "double precision",
        "",
        "any_float()",
        &[
            "'-0'",
            "0.1::float8 + 0.2::float8",
            "1.7976931348623157e308",
            "-1.7976931348623157e308",
            "5e-324",
            "2.2250738585072014e-308",
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "9007199254740993",
            "1e21",
            "1e-7",
            "1125899906842624.25",
            "-1125899906842625.25",
        ],
    ),
    Kind(
        "text",
        "",
        "words(30)",
        &[
            "''",
            "' '",
            "'NULL'",
            r#"E'\t\r\n\b\f\x01\x7f"\\/'"#,
            "'{a,\"b\"}'",
            r"E'\u2028\uffff'",
            "''''",
            r"'\N'",
            r"'\.'",
            "repeat('ü', 5000)",
        ],
    ),
    Kind("character varying", "", "words(9)", &["''", "'a '"]),
    Kind("character varying(20)", "", "left(words(20), 20)", &["''", "repeat('ü', 20)", "'a  '"]),
    Kind("character(5)", "", "left(words(5), 5)", &["''", "'a'", "'ü    '", "'abcde'"]),
    Kind("bpchar", "", "words(5)", &["''", "'a  '"]),
    Kind(
        "bytea",
        "",
        "substr(decode(md5(random()::text), 'hex'), 1, below(17))",
        &[r"'\x'", r"'\x00'", r"'\x00ff5c27'", "convert_to(repeat('ü', 3000), 'UTF8')"],
    ),
    Kind(
        "uuid",
        "",
        "md5(random()::text)::uuid",
        &["'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-ffff-FFFF-ffff-ffffffffffff'"],
    ),
    Kind(
        "json",
        "",
        "json_text(3)::json",
        &[
            "'{}'",
            r#"'{"b" : 1.50,  "a":[ ]}'"#,
            "'\"\"'",
            "'1e5'",
            r#"'"\u00fc\ud834\udd1e\n\/"'"#,
            "'[null, true, [[]]]'",
        ],
    ),
    Kind(
        "jsonb",
        "",
        "json_text(3)::jsonb",
        &["'{}'", "'[]'", r#"'{"b": [1, null, 1e2, 1.50], "a": "ü", "": {}}'"#, "'\"x\"'", "'-1.0'", "'false'"],
    ),
    Kind(
        "date",
        "",
        "day()",
        &[
            "'4714-11-24 BC'",
            "'0044-03-15 BC'",
            "'0001-01-01'",
            "'2024-02-29'",
            "'10000-01-01'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    Kind("time without time zone", "", "clock()", &["'00:00'", "'23:59:59.999999'", "'24:00:00'"]),
    Kind("time(0) without time zone", "", "clock()", &["'23:59:59.5'", "'00:00'"]),
    Kind(
        "time with time zone",
        "",
        "(clock()::text || pick('+', '-') || lpad(below(16)::text, 2, '0') || pick('', ':30', ':59', ':00:01'))::timetz",
        &["'00:00+15:59:59'", "'24:00:00-15:59'", "'12:00:00.000001+00'"],
    ),
    Kind("time(3) with time zone", "", "(clock()::text || '+05:30')::timetz", &["'23:59:59.9994-12'"]),
    Kind(
        "timestamp without time zone",
        "",
        "micros()",
        &[
            "'4714-11-24 00:00:00 BC'",
            "'0044-03-15 12:00:00.5 BC'",
            "'1969-12-31 23:59:59.999999'",
            "'10000-01-01 00:00:00'",
            "'294276-12-31 23:59:59.999999'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    Kind("timestamp(3) without time zone", "", "micros()", &["'2024-01-01 00:00:00.0005'", "'infinity'"]),
    Kind(
        "timestamp with time zone",
        "",
        "moment()",
        &[
            "'4714-11-24 00:00:00+00 BC'",
            "'0044-03-15 12:00:00.5+00 BC'",
            "'1969-12-31 23:59:59.999999+00'",
            "'10000-01-01 00:00:00+05:30'",
            "'294276-12-31 23:59:59.999999+00'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    Kind("timestamp(0) with time zone", "timestamp with time zone", "moment()", &["'2024-01-01 00:00:00.5+00'"]),
    Kind(
        "interval",
        "",
        "span()",
        &[
            "'0'",
            "'1 year 2 mons 3 days 04:05:06.789'",
            "'-1 year +2 days -03:04:05.000001'",
            "'178000000 years'",
            "'-178000000 years'",
            "'1 day -00:00:01'",
            "'2147483647 days'",
            "'1000000:00:00'",
            "'-0.000001 s'",
            "'2562047788:00:54.775807'",
        ],
    ),
    Kind("interval year to month", "", "span()", &["'1 year 2 mons'", "'-5 mons'"]),
    Kind(
        "interval day to second(2)",
        "",
        "make_interval(days => below(9), secs => random() * 1000)",
        &["'1 day 00:00:00.125'", "'-0.01 s'"],
    ),
    Kind("interval(0)", "", "span()", &["'00:00:00.5'"]),
    Kind("bit(3)", "", "below(8)::bit(3)", &["B'000'", "B'101'"]),
    Kind("\"bit\"", "", "left(bits()::bit(64)::text, below(64))::varbit", &["B''", "B'101'"]),
    Kind("bit varying", "", "left(bits()::bit(64)::text, below(64))::varbit", &["B''", "B'0101010101010101010101'"]),
    Kind("bit varying(5)", "", "left(bits()::bit(64)::text, below(6))::varbit", &["B''", "B'10101'"]),
    Kind(
        "money",
        "",
        "(bits() / 100.0)::money",
        &["'-92233720368547758.08'", "'0'", "'92233720368547758.07'", "'-0.01'"],
    ),
    Kind(
        "inet",
        "",
        "CASE below(2) WHEN 0 THEN set_masklen('0.0.0.0'::inet + (bits() >> 33 & 2147483647), below(33)) ELSE set_masklen('2001:db8::'::inet + (bits() & 9223372036854775807), below(129)) END",
        &["'0.0.0.0'", "'10.0.0.1/24'", "'::'", "'::ffff:1.2.3.4'"],
    ),
    Kind(
        "cidr",
        "",
        "network(set_masklen('10.0.0.0'::inet + below(1000000), below(33)))",
        &["'0.0.0.0/0'", "'2001:db8::/32'", "'255.255.255.255/32'"],
    ),
    Kind("macaddr", "", "left(md5(random()::text), 12)::macaddr", &["'00:00:00:00:00:00'", "'FF-FF-FF-FF-FF-FF'"]),
    Kind("macaddr8", "", "left(md5(random()::text), 16)::macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    Kind("point", "", "dot()", &["'(0,-0)'", "'(0.1,1e300)'", "'(NaN,Infinity)'"]),
    Kind(
        "line",
        "",
        "format('{%s,%s,%s}', any_float(), 1 + random(), any_float())::line",
        &["'{1,2,3}'", "'{0.1,-1,0}'"],
    ),
    Kind("lseg", "", "lseg(dot(), dot())", &["'[(0,0),(1.5,2)]'"]),
    Kind("box", "", "box(dot(), dot())", &["'(1,1),(0,0)'", "'(0.1,1e300),(-1,-1)'"]),
    Kind(
        "path",
        "",
        "CASE below(2) WHEN 0 THEN format('[%s,%s]', dot(), dot())::path ELSE format('(%s,%s)', dot(), dot())::path END",
        &["'[(0,0),(1,1)]'", "'((0,0),(1,1),(2,0))'"],
    ),
    Kind("polygon", "", "format('(%s,%s,%s)', dot(), dot(), dot())::polygon", &["'((0,0),(1,1),(2,0))'"]),
    Kind("circle", "", "circle(dot(), abs(any_float()))", &["'<(0,0),0>'", "'<(0.1,2),1e10>'"]),
    Kind(
        "int4range",
        "",
        "int4range(-below(1000000), below(1000000), bounds())",
        &["'empty'", "'[1,5]'", "'(,)'", "'[1,)'", "'(,2147483647)'"],
    ),
    Kind(
        "int8range",
        "",
        "int8range(-(bits() >> 2 & 2305843009213693951), bits() >> 2 & 2305843009213693951, bounds())",
        &["'[1,9223372036854775806]'"],
    ),
    Kind(
        "numrange",
        "",
        "numrange(-abs(exact()), abs(exact()), bounds())",
        &["'[1.50,2.0)'", "'(,NaN]'", "'(-Infinity,Infinity)'"],
    ),
    Kind(
        "daterange",
        "",
        "daterange(date '2000-01-01' - below(100000), date '2000-01-01' + below(100000), bounds())",
        &["'[2024-01-01,infinity)'", "'[0044-03-15 BC,2024-02-29]'"],
    ),
    Kind(
        "tsrange",
        "",
        "tsrange(timestamp '2000-01-01' - random() * interval '9 years', timestamp '2000-01-01' + random() * interval '9 years', bounds())",
        &[r#"'["2024-01-01 00:00:00","2024-01-02 12:00:00.5")'"#, "'(,)'"],
    ),
    Kind(
        "tstzrange",
        "",
        "tstzrange(timestamptz '2000-01-01 00:00+00' - random() * interval '9 years', timestamptz '2000-01-01 00:00+00' + random() * interval '9 years', bounds())",
        &[r#"'["2024-01-01 00:00:00+05:30",infinity]'"#],
    ),
    Kind(
        "int4multirange",
        "",
        "int4multirange(int4range(-below(100) - 10, -5, bounds()), int4range(below(10), 20 + below(10), bounds()))",
        &["'{}'", "'{[1,3),[5,7]}'"],
    ),
    Kind(
        "int8multirange",
        "",
        "int8multirange(int8range(-below(100) - 10, -5, bounds()), int8range(below(10), NULL, bounds()))",
        &["'{(,1),[5,)}'"],
    ),
    Kind(
        "nummultirange",
        "",
        "nummultirange(numrange(-abs(exact()) - 10, -5, bounds()), numrange(0, abs(exact()) + 1, bounds()))",
        &["'{}'", "'{[1.5,2),(3,4]}'"],
    ),
    Kind(
        "datemultirange",
        "",
        "datemultirange(daterange(date '2000-01-01', date '2000-01-02' + below(1000), bounds()))",
        &["'{[2024-01-01,2024-02-01)}'"],
    ),
    Kind(
        "tsmultirange",
        "",
        "tsmultirange(tsrange(timestamp '2000-01-01', timestamp '2000-01-02' + random() * interval '9 years', bounds()))",
        &[r#"'{["2024-01-01 00:00:00",)}'"#],
    ),
    Kind(
        "tstzmultirange",
        "",
        "tstzmultirange(tstzrange(timestamptz '2000-01-01 00:00+00', timestamptz '2000-01-02 00:00+00' + random() * interval '9 years', bounds()))",
        &["'{[2024-01-01 00:00:00+02,2024-01-02 00:00:00+00)}'"],
    ),
    Kind(
        "tsvector",
        "",
        "setweight(to_tsvector('simple', words(30)), pick('A', 'B', 'C', 'D')::\"char\")",
        &["''", "'b a:1A,2 ''it''''s'''"],
    ),
    Kind(
        "tsquery",
        "",
        "CASE below(2) WHEN 0 THEN plainto_tsquery('simple', words(20)) ELSE phraseto_tsquery('simple', words(20)) || '!x:*A' END",
        &["''", "'a & !(b | c:*A) <-> d'"],
    ),
    Kind(
        "jsonpath",
        "",
        "format('%s$.%s[%s to last] ? (@ > %s)', pick('', 'strict '), to_json('k' || words(5)), below(9), any_float())::jsonpath",
        &["'$.a[*] ? (@ > 1)'", "'strict $.\"ü\"'"],
    ),
    Kind(
        "xml",
        "",
        "xmlelement(name a, xmlattributes(translate(words(5), E'\\x01', '') AS b), translate(words(20), E'\\x01', ''))",
        &["''", "'<a b=\"1\">ü&amp;</a>'"],
    ),
    Kind("oid", "", "(bits() & 4294967295)::oid", &["0", "4294967295"]),
    Kind("xid", "", "(bits() & 4294967295)::text::xid", &["'0'", "'4294967295'"]),
    Kind("xid8", "", "(bits() & 9223372036854775807)::text::xid8", &["'0'", "'18446744073709551615'"]),
    Kind("tid", "", "format('(%s,%s)', bits() & 4294967295, below(65536))::tid", &["'(0,0)'", "'(4294967295,65535)'"]),
    Kind("pg_lsn", "", "'0/0'::pg_lsn + (bits() & 9223372036854775807)::numeric", &["'0/0'", "'FFFFFFFF/FFFFFFFF'"]),
    Kind(
        "pg_snapshot",
        "",
        "format('%s:%s:', 1 + below(1000), 2000 + below(1000))::pg_snapshot",
        &["'10:20:10,14,15'"],
    ),
    Kind(
        "txid_snapshot",
        "",
        "format('%s:%s:', 1 + below(1000), 2000 + below(1000))::txid_snapshot",
        &["'10:20:10,14,15'"],
    ),
    Kind("mood", "text", "pick('sad', 'a,b', '', 'NULL')::mood", &["'it''s \"x\"'"]),
    Kind("pair", "text", "ROW(below(9), words(9))::pair", &["ROW(NULL, NULL)", "ROW(1, '')"]),
    Kind("small", "integer", "below(2000) - 1000", &["-2147483648"]),
    Kind("price", "numeric(8,2)", "below(1000000) / 100.0", &["'NaN'"]),
];

/// What is to be compared with the copy: columns and their types there.
pub struct Column {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Its type in the copy.
    pub copied_as: String,
    /// Its text in the source.
    pub text: String,
    /// In the copy.
    pub text_of_copy: String,
}

impl Column {
    fn new(table: &str, name: String, of: &str, copied_as: String) -> Self {
        let as_text = format!("{name}::text");
        // What has no type of its own in the copy is JSON there.
        let text = match (copied_as.as_str(), of) {
            ("jsonb", "pair") => format!("to_jsonb({name}::text[])::text"),
            ("jsonb", of) if is_made_by_users(of) => format!("to_jsonb({name})::text"),
            (_, _) => as_text.clone(),
        };
        Self { table: table.to_owned(), name, copied_as, text, text_of_copy: as_text }
    }
}

/// The tables.
#[must_use]
pub fn tables() -> Vec<String> {
    (0..KINDS.len().div_ceil(WIDTH)).map(|number| format!("values_{number}")).collect()
}

/// The columns: each type alone, and but for JSON in arrays.
#[must_use]
pub fn columns() -> Vec<Column> {
    let mut columns = Vec::new();
    for (place, Kind(of, copied_as, ..)) in KINDS.iter().enumerate() {
        let copied_as = if copied_as.is_empty() { of } else { copied_as };
        let table = format!("values_{}", place / WIDTH);
        columns.push(Column::new(&table, format!("c{place}"), of, (*copied_as).to_owned()));
        if has_arrays(of) {
            let copied_as = if is_made_by_users(of) { "jsonb".to_owned() } else { format!("{of}[]") };
            columns.push(Column::new(&table, format!("a{place}"), of, copied_as));
        }
    }
    columns
}

fn has_arrays(of: &str) -> bool {
    !of.starts_with("json") || of == "jsonpath"
}

/// Their arrays have no name that another database would know.
fn is_made_by_users(of: &str) -> bool {
    matches!(of, "mood" | "pair" | "small" | "price")
}

/// Makes the tables, with the ends of each type.
pub fn make(server: &Server, database: &str) {
    server.run(database, FUNCTIONS);
    for (number, kinds) in KINDS.chunks(WIDTH).enumerate() {
        let mut definition = format!("CREATE TABLE values_{number} (id bigint PRIMARY KEY");
        for (place, Kind(of, ..)) in kinds.iter().enumerate() {
            let place = number * WIDTH + place;
            write!(definition, ", c{place} {of}").expect("writes");
            if has_arrays(of) {
                write!(definition, ", a{place} {of}[]").expect("writes");
            }
        }
        server.run(
            database,
            &format!("SET search_path = pg_catalog, public; {};", definition.replace("TABLE ", "TABLE public.") + ")"),
        );
        let rows = kinds.iter().map(|Kind(.., ends)| ends.len()).max().unwrap_or_default();
        for row in 0..rows {
            let end = |place: usize, Kind(of, _, _, ends): &Kind| match ends.get(row) {
                Some(literal) if has_arrays(of) => {
                    let value = format!("({literal})::{of}");
                    format!(", {value}, ARRAY[[{value}, NULL], [NULL, {value}]]::{of}[]")
                }
                Some(literal) => format!(", ({literal})::{of}"),
                None if has_arrays(of) => {
                    format!(", NULL, {}", if place.is_multiple_of(2) { "'{}'" } else { "'{NULL}'" })
                }
                None => ", NULL".to_owned(),
            };
            let values: String = kinds.iter().enumerate().map(|(place, kind)| end(place, kind)).collect();
            server.run(database, &format!("INSERT INTO values_{number} VALUES (-{row}{values})"));
        }
    }
}

/// Adds rows with these numbers to each table.
pub fn fill(server: &Server, database: &str, (first, last): (u64, u64), seed: u64) {
    for (number, kinds) in KINDS.chunks(WIDTH).enumerate() {
        let value = |Kind(of, _, make, _): &Kind| {
            let value = format!("({make})::{of}");
            let alone = format!(", CASE WHEN random() < 0.05 THEN NULL ELSE {value} END");
            match has_arrays(of) {
                true => format!(
                    "{alone}, CASE below(4) WHEN 0 THEN ARRAY[{value}, NULL, {value}] WHEN 1 THEN ARRAY[[{value}, {value}], [NULL, {value}]] \
                     WHEN 2 THEN ARRAY[{value}] ELSE '{{}}' END::{of}[]"
                ),
                false => alone,
            }
        };
        let values: String = kinds.iter().map(value).collect();
        let begin = (seed % 1_000_003 + number as u64) as f64 / 1_000_100.0;
        server.run(
            database,
            &format!("DO $$ BEGIN PERFORM setseed({begin}); INSERT INTO values_{number} SELECT i{values} FROM generate_series({first}, {last}) i; END $$"),
        );
    }
}
