//! Connectors that mean harm: nothing that they try succeeds, and a sandbox that was weakened on purpose is found out.

use longshore_tests::siege::plant::Plant;
use longshore_tests::siege::siege;

#[test]
fn nothing_that_a_hostile_connector_tries_succeeds() {
    let attempts = siege(None);
    let succeeded: Vec<_> = attempts.iter().filter(|attempt| attempt.succeeded).collect();
    assert!(succeeded.is_empty(), "{succeeded:#?}");
    assert!(attempts.len() >= 90, "{} attempts", attempts.len());
    println!("{} attempts, 0 succeeded", attempts.len());
}

#[test]
fn a_weakness_that_is_planted_is_found() {
    for (weakness, found_by) in
        [("writable-root", "container/make=/open/owned"), ("all-capabilities", "container/new-user-namespace")]
    {
        let attempts = siege(Some(Plant::named(weakness).expect("a weakness")));
        let succeeded: Vec<&str> =
            attempts.iter().filter(|attempt| attempt.succeeded).map(|attempt| attempt.name.as_str()).collect();
        assert!(succeeded.contains(&found_by), "{weakness}: {succeeded:?}");
    }
}
