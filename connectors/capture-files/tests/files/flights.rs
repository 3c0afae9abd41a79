//! All flights out of New York in 2013, value by value.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use capture_files::Files;
use longshore_sdk::testing::CaptureTask;
use serde_json::{Value, json};

const FLIGHTS: usize = 336_776;

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/nyc-flights")
}

async fn discovered(glob: &str, key: &str) -> (CaptureTask<Files>, Value) {
    let config = json!({ "path": examples(), "null_values": ["NA", ""] });
    let task = || CaptureTask::new(Files, config.clone()).binding(json!({ "glob": glob }), "c", &[key]);
    let found = task().discover_bindings().await.unwrap();
    let schema: Value = serde_json::from_slice(&found[0].schema_json).unwrap();
    (task().schema(&schema), schema)
}

/// What the file says, read without any of our code; flights hold no quotes.
fn says_the_same(line: &str, document: &Value) -> bool {
    let fields = document.as_object().unwrap();
    let same = |(text, value): (&str, &Value)| match value {
        Value::Null => text == "NA" || text.is_empty(),
        Value::String(string) => text == string,
        Value::Number(number) => text == number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    };
    fields.len() == 19 && line.split(',').count() == 19 && line.split(',').zip(fields.values()).all(same)
}

#[tokio::test]
async fn every_flight_is_captured_once_and_says_what_its_line_says() {
    let (mut task, schema) = discovered("flights.csv.zst", "/time_hour").await;
    assert_eq!(schema["properties"]["dep_time"]["type"], json!(["integer", "null"]));
    assert_eq!(schema["properties"]["tailnum"]["type"], json!(["string", "null"]));
    let file = std::fs::File::open(examples().join("flights.csv.zst")).unwrap();
    let mut lines = BufReader::new(zstd::Decoder::new(file).unwrap()).lines().skip(1);
    let mut session = task.open().await.unwrap();
    let mut seen = 0;
    loop {
        let transaction = session.next().await.unwrap().unwrap();
        assert!(transaction.schemas.is_empty(), "all of the file was looked at before");
        for (_, document) in &transaction.documents {
            seen += 1;
            let line = lines.next().unwrap().unwrap();
            assert!(says_the_same(&line, document), "flight {seen}: {line} became {document}");
        }
        if transaction.caught_up {
            break;
        }
        session.acknowledge().await.unwrap();
    }
    session.stop().await.unwrap();
    assert_eq!((seen, lines.count()), (FLIGHTS, 0));
    assert!(task.state().byte_len() < 2_000, "{} bytes of state", task.state().byte_len());
}

#[tokio::test]
async fn one_pressure_written_with_an_exponent_is_a_number_like_the_others() {
    let (mut task, schema) = discovered("weather.csv", "/time_hour").await;
    assert_eq!(schema["properties"]["pressure"]["type"], json!(["number", "null"]));
    assert_eq!(schema["properties"]["wind_dir"]["type"], json!(["integer", "null"]));
    let mut session = task.open().await.unwrap();
    let transactions = session.until_caught_up().await.unwrap();
    session.stop().await.unwrap();
    let written: usize = std::fs::read_to_string(examples().join("weather.csv")).unwrap().matches(",1e3,").count();
    let read = transactions.iter().flat_map(|transaction| &transaction.documents);
    let exact = read.filter(|(_, document)| document["pressure"] == json!(1000.0)).count();
    assert!(written > 0 && exact >= written, "{written} written, {exact} read");
}
