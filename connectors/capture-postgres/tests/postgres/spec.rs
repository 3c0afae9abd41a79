//! The spec is a contract: a change is a change for every catalog.

use capture_postgres::Postgres;
use longshore_sdk::testing::CaptureTask;

#[test]
fn the_spec_is_as_it_was() {
    let task = CaptureTask::new(Postgres::default(), serde_json::json!({}));
    let spec = serde_json::to_string_pretty(&task.spec()).unwrap();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("capture-postgres", spec);
    });
}
