//! What Validate finds, without touching anything.

use longshore_sdk::finding::{Finding, Severity};
use serde_json::{Value, json};

use crate::folder::Folder;

async fn findings(folder: &Folder, config: Value, glob: &str, key: &str) -> Vec<Finding> {
    folder.task(config).binding(json!({ "glob": glob }), "c", &[key]).validate().await.unwrap()
}

fn check(found: &[Finding], severity: Severity, code: &str, pointer: &str, suggestion: &str) {
    let [finding] = found else { panic!("expected one finding, got {found:?}") };
    assert_eq!(
        (finding.severity, finding.code.as_str(), finding.pointer.as_str()),
        (severity, code, pointer),
        "{finding:?}"
    );
    assert!(finding.suggestion.contains(suggestion), "{finding:?}");
}

#[tokio::test]
async fn what_will_work_has_no_findings() {
    let folder = Folder::new();
    folder.write("f.csv", "id,name\n");
    assert_eq!(findings(&folder, json!({}), "f.csv", "/id").await, []);
    assert_eq!(findings(&folder, json!({}), "*.csv", "/_meta/source/record").await, []);
}

#[tokio::test]
async fn each_mistake_is_found_where_it_was_made() {
    let folder = Folder::new();
    folder.write("flights.csv", "id,name\n1,x\n");
    folder.write("data", "id\n");
    std::fs::create_dir(folder.path("flights-2013")).unwrap();
    let error = Severity::Error;
    check(
        &findings(&folder, json!({ "path": folder.path("flight-2013") }), "*", "/id").await,
        error,
        "files.path.missing",
        "/path",
        "did you mean",
    );
    check(
        &findings(&folder, json!({ "path": folder.path("gone") }), "*", "/id").await,
        error,
        "files.path.missing",
        "/path",
        "catalog",
    );
    check(
        &findings(&folder, json!({ "path": folder.path("flights.csv") }), "*", "/id").await,
        error,
        "files.path.not_a_directory",
        "/path",
        "flights.csv",
    );
    check(&findings(&folder, json!({}), "[a", "/id").await, error, "files.glob.invalid", "/glob", "*.csv");
    check(&findings(&folder, json!({}), "data", "/id").await, error, "files.format.unknown", "/glob", "format: csv");
    check(&findings(&folder, json!({}), "flights.csv", "/nam").await, error, "files.key.missing", "/glob", "/name");
    check(
        &findings(&folder, json!({ "header": false }), "*.csv", "/id").await,
        error,
        "files.columns.missing",
        "/header",
        "columns",
    );
    check(
        &findings(&folder, json!({}), "flight.csv", "/id").await,
        Severity::Warning,
        "files.glob.empty",
        "/glob",
        "flights.csv",
    );
}
