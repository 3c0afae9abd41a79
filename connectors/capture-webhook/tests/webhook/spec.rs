//! What it says of itself.

use serde_json::json;

use crate::Scene;

#[test]
fn the_spec_is_a_contract() {
    insta::assert_snapshot!(format!("{:#}", Scene::new(json!({})).task.spec()));
}

#[tokio::test]
async fn any_path_can_be_discovered_with_a_fallback_key() {
    let task = Scene::new(json!({})).task;
    let found = task.discover().await.unwrap();
    assert_eq!((found.len(), found[0].recommended_collection.as_str()), (1, "events"));
    let found = task.discover_bindings().await.unwrap();
    assert_eq!((found.len(), &found[1].key, found[1].key_is_fallback), (2, &vec!["/_meta/source/id".to_owned()], true));
}
