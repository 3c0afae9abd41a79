//! The spec is a contract: a change is a change for every catalog.

use crate::base::Base;

#[test]
fn the_spec_is_as_it_was() {
    let base = Base::new("");
    let spec = serde_json::to_string_pretty(&base.task(&[]).spec()).unwrap();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("capture-sqlite", spec);
    });
}
