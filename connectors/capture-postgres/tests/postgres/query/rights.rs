//! What the user of `url` needs: SELECT on the tables and nothing else, on a server that is set up for nothing.

use std::sync::Arc;

use capture_postgres::PostgresQuery;
use longshore_postgres::testing::{Database, Server};
use longshore_sdk::testing::CaptureTask;
use serde_json::json;

use super::story::{bound, ops, run};
use crate::base::Base;

const TABLE: &str =
    "CREATE TABLE t (id bigint PRIMARY KEY, v text); INSERT INTO t SELECT i, i FROM generate_series(1, 5) i;";

/// A user of the database's own, with these rights.
fn task_of_user(base: &Base, grants: &str, more: &serde_json::Value) -> CaptureTask<PostgresQuery> {
    let user = format!("reader_{}", base.db.name());
    base.run(&format!("CREATE ROLE {user} LOGIN; {}", grants.replace("{user}", &user)));
    let url = base.db.url().replace("postgres@", &format!("{user}@"));
    bound(CaptureTask::new(PostgresQuery::in_steps(2, 100), json!({ "url": url })), "t", more)
}

fn drop_user(base: &Base) {
    let user = format!("reader_{}", base.db.name());
    base.run(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

#[tokio::test]
async fn select_is_enough_also_where_the_log_is_not_logical() {
    let server = Arc::new(Server::start("wal_level = replica\nmax_wal_senders = 0\nmax_replication_slots = 0\n"));
    let base = Base::on(Database::on(&server), TABLE);
    let mut task = task_of_user(&base, "GRANT SELECT ON t TO {user}", &json!({ "cursor": "id" }));
    assert_eq!(task.validate().await.unwrap(), []);
    assert_eq!(task.apply().await.unwrap(), Vec::<String>::new());
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 5);
    let mut task = bound(CaptureTask::new(PostgresQuery::default(), json!({ "url": base.db.url() })), "t", &json!({}));
    assert_eq!(ops(&run(&mut task).await.unwrap()).len(), 5);
    assert_eq!(base.run("SELECT count(*) FROM pg_publication"), "0");
    drop_user(&base);
}

/// A right that is missing is an error in each session, and never an empty table.
#[tokio::test]
async fn what_may_not_be_read_is_no_empty_table() {
    for grants in [
        "",
        "GRANT SELECT (id) ON t TO {user}",
        "GRANT SELECT ON t TO {user}; REVOKE USAGE ON SCHEMA public FROM public",
        "GRANT SELECT ON t TO {user}; ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id < 3)",
    ] {
        for more in [json!({}), json!({ "cursor": "id" })] {
            let base = Base::new(TABLE);
            let mut task = task_of_user(&base, grants, &more);
            for _ in 0..2 {
                let error = run(&mut task).await.unwrap_err();
                assert_eq!((error.code.as_str(), error.binding), ("postgres.permission", Some(0)), "{grants}: {error}");
            }
            drop_user(&base);
        }
    }
}
