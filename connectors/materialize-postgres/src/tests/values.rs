//! The ends of what each type holds, told by documents and compared by the server with what it makes of a literal.

use super::*;

/// SQL type as a schema names it, JSON type, the value in a document, and the same value as a literal of the server.
const VALUES: &[(&str, &str, &str, &str)] = &[
    ("pg:boolean", "boolean", "true", "true"),
    ("pg:smallint", "integer", "-32768", "'-32768'"),
    ("pg:integer", "integer", "2147483647", "2147483647"),
    ("pg:bigint", "integer", "-9223372036854775808", "'-9223372036854775808'"),
    (
        "pg:numeric",
        "number",
        "12345678901234567890123456789.000000000000000000000001",
        "12345678901234567890123456789.000000000000000000000001",
    ),
    ("pg:numeric(12,2)", "number", "-9999999999.99", "'-9999999999.99'"),
    ("pg:numeric(3,-2)", "number", "12300", "12300"),
    ("pg:numeric", "number\",\"string", "\"NaN\"", "'NaN'"),
    ("pg:numeric", "number\",\"string", "\"-Infinity\"", "'-Infinity'"),
    ("pg:real", "number", "3.4028235e38", "'3.4028235e38'"),
    ("pg:real", "number", "1e-45", "'1e-45'"),
    ("pg:double precision", "number", "1.7976931348623157e308", "'1.7976931348623157e308'"),
    ("pg:double precision", "number", "5e-324", "'5e-324'"),
    ("pg:double precision", "number\",\"string", "\"Infinity\"", "'Infinity'"),
    ("pg:text", "string", r#""\\N\t\r\n\b \\. é𝄞""#, r"E'\\N\t\r\n\b \\. é𝄞'"),
    ("pg:character varying(3)", "string", "\"é𝄞 \"", "'é𝄞 '"),
    ("pg:character(3)", "string", "\"a  \"", "'a'"),
    ("uuid", "string", "\"ffffffff-0000-4000-8000-00000000000f\"", "'ffffffff-0000-4000-8000-00000000000f'"),
    ("date", "string", "\"5874897-12-31\"", "'5874897-12-31'"),
    ("date", "string", "\"4714-11-24 BC\"", "'4714-11-24 BC'"),
    ("date", "string", "\"-infinity\"", "'-infinity'"),
    ("date-time", "string", "\"294276-12-31T23:59:59.999999Z\"", "'294276-12-31 23:59:59.999999+00'"),
    ("date-time", "string", "\"4714-11-24T00:00:00Z BC\"", "'4714-11-24 00:00:00+00 BC'"),
    ("date-time", "string", "\"2024-02-29T23:59:59.500+05:30\"", "'2024-02-29 18:29:59.5+00'"),
    ("pg:timestamp without time zone", "string", "\"2024-02-29 23:59:59.999999\"", "'2024-02-29 23:59:59.999999'"),
    ("pg:time without time zone", "string", "\"24:00:00\"", "'24:00:00'"),
    ("pg:time with time zone", "string", "\"12:00:00.000001-05:30\"", "'12:00:00.000001-05:30'"),
    ("pg:interval", "string", "\"P10M3DT-3H-59M-54.999994S\"", "'10 months 3 days -03:59:54.999994'"),
    ("pg:bytea", "string", "\"AAEKDVz/\"", "'\\x00010a0d5cff'"),
    ("pg:json", "string\",\"object", r#"{"b": 1.10,  "a":[]}"#, r#"'{"b": 1.10,  "a":[]}'"#),
    ("pg:jsonb", "object", r#"{"b":1.10,"a":[null,"\\"]}"#, r#"'{"b":1.10,"a":[null,"\\"]}'"#),
    ("pg:inet", "string", "\"2001:db8::/32\"", "'2001:db8::/32'"),
    ("pg:bit(3)", "string", "\"101\"", "B'101'"),
    ("pg:bit varying(5)", "string", "\"\"", "B''"),
    ("pg:int4range", "string", "\"[1,3)\"", "'[1,2]'"),
    ("pg:money", "string", "\"$1,234.50\"", "'1234.5'"),
    ("pg:tsvector", "string", "\"'a' 'b'\"", "'b a'"),
    ("pg:point", "string", "\"(0.1,-2)\"", "'(0.1,-2)'"),
    ("pg:xml", "string", "\"<a>é</a>\"", "'<a>é</a>'"),
    ("pg:integer[]", "array", "[[1,null],[-2147483648,3]]", "'{{1,NULL},{-2147483648,3}}'"),
    ("pg:text[]", "array", r#"["","NULL","a\"b\\c{},"]"#, r#"ARRAY['', 'NULL', 'a"b\c{},']"#),
    (
        "pg:timestamp with time zone[]",
        "array",
        "[\"2024-01-01T00:00:00Z\"]",
        "ARRAY['2024-01-01 00:00:00+00'::timestamptz]",
    ),
    ("pg:inet[]", "array", "[\"10.0.0.1\"]", "'{10.0.0.1}'"),
    ("pg:bytea[]", "array", "[\"AP8=\",\"\"]", r"ARRAY['\x00ff'::bytea, '']"),
    ("pg:integer[]", "array", "[]", "'{}'"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ends_of_every_type_are_stored_as_the_server_has_them() {
    for delta in [false, true] {
        let lake = Lake::new();
        let mut properties = serde_json::Map::from_iter([("id".to_owned(), json!({ "type": "integer" }))]);
        let (mut document, mut compare) = (vec!["\"id\":1".to_owned()], Vec::new());
        for (i, (format, kinds, value, literal)) in VALUES.iter().enumerate() {
            let kinds: Value = serde_json::from_str(&format!("[\"{kinds}\",\"null\"]")).unwrap();
            properties.insert(format!("c{i}"), json!({ "type": kinds, "format": format }));
            document.push(format!("\"c{i}\":{value}"));
            let of = longshore_postgres::SqlType::from_format(format).unwrap();
            compare.push(format!(
                "SELECT 'c{i}', format_type(atttypid, atttypmod) = '{of}', format('%s', c{i}) = format('%s', ({literal})::{of}) FROM t, pg_attribute \
                 WHERE attrelid = 't'::regclass AND attname = 'c{i}' AND c{i} IS NOT NULL"
            ));
        }
        let bind = ids().schema(schema(Value::Object(properties)));
        let bind = if delta { bind.delta() } else { bind };
        let document = format!("{{{}}}", document.join(","));
        let nothing = r#"{"id":2}"#;
        // Straight into the table, and beside it.
        run(&mut lake.runtime(bind), &[&[nothing], &[&document]]).await.unwrap();
        let expected: Vec<String> = (0..VALUES.len()).map(|i| format!("c{i}|t|t")).collect();
        assert_eq!(lake.query(&compare.join(" UNION ALL ")), expected, "{delta}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_would_make_something_else_of_is_refused() {
    let lake = Lake::new();
    let cases = [
        ("pg:interval", "1 day"),
        ("pg:interval", "PT0.0000001S"),
        ("pg:money", "$1.005"),
        ("pg:point", "(0.10000000000000001,1)"),
        ("pg:int4range", "[1,2]"),
        ("pg:tsvector", "b a"),
        ("pg:bit(3)", "1010"),
        ("pg:tsrange", "[now,tomorrow)"),
        ("date-time", "now"),
        ("date-time", "2016-12-31T23:59:60Z"),
        ("date", "today"),
        ("pg:time without time zone", "allballs"),
        ("pg:timestamp without time zone", "2024-01-01 00:00:00+05"),
        ("pg:timestamp(3) without time zone", "2024-01-01 00:00:00.0001"),
        ("pg:oid", "-1"),
        ("pg:interval(0)", "PT0.5S"),
        ("pg:interval year", "P1Y2M"),
    ];
    for (i, (format, value)) in cases.into_iter().enumerate() {
        let bind = Bind { resource: json!({ "schema": "public", "table": format!("t{i}") }), ..ids() };
        let bind =
            bind.schema(schema(json!({ "id": { "type": "integer" }, "v": { "type": "string", "format": format } })));
        let document = json!({ "id": 1, "v": value }).to_string();
        let mut runtime = lake.runtime(bind);
        runtime.owner = longshore_sdk::materialize::Owner { task: format!("task{i}"), ..runtime.owner.clone() };
        let error = run(&mut runtime, &[&[&document]]).await.expect_err(value);
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "postgres.value"), "{format} {value}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_with_more_digits_than_numeric_is_refused_and_one_at_its_end_is_kept() {
    let lake = Lake::new();
    let properties = json!({ "id": { "type": "integer" }, "exact": { "type": "number" }, "any": {} });
    let mut runtime = lake.runtime(ids().schema(schema(properties)));
    for name in ["exact", "any"] {
        for number in ["1e-16384", "1e-99999999999"] {
            let error = run(&mut runtime, &[&[&format!("{{\"id\":1,\"{name}\":{number}}}")]]).await.expect_err(number);
            assert_eq!(
                (error.kind, error.code.as_str()),
                (ErrorKind::Data, "postgres.value"),
                "{name} {number}: {error}"
            );
        }
        let ends = [format!("{{\"id\":1,\"{name}\":1e-16383}}"), format!("{{\"id\":2,\"{name}\":1e308}}")];
        run(&mut runtime, &[&[&ends[0], &ends[1]]]).await.unwrap();
        let select = format!(
            "SELECT \"{name}\"::text::numeric = CASE id WHEN 1 THEN 1e-16383 ELSE 1e308 END FROM t ORDER BY id"
        );
        assert_eq!(lake.query(&select), ["t", "t"], "{name}");
    }
}
