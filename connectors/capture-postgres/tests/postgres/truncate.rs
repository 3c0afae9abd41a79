//! TRUNCATE tells no rows: what was captured is emptied too, or the task stops, or its user said beforehand that it does not matter.

use longshore_sdk::ErrorKind;
use longshore_sdk::testing::CaptureTask;
use serde_json::json;

use crate::base::{Base, Fold, Table, catch_up, failure};

const T: [Table<'static>; 1] = [("t", &["/id"])];

#[tokio::test]
async fn a_table_that_is_emptied_at_once_stops_the_task_or_is_ignored_or_is_emptied_where_it_was_captured_to() {
    let base = Base::new("CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t VALUES (1)");
    let with = |truncate: &str| {
        let mut config = base.config();
        config["truncate"] = json!(truncate);
        base.task_of(CaptureTask::new(capture_postgres::Postgres::in_steps(3, usize::MAX), config), &T)
    };
    let mut task = with("stop");
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    base.run("TRUNCATE t");
    base.run("INSERT INTO t VALUES (2)");
    for _ in 0..2 {
        let error = failure(&mut task).await;
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Data, "postgres.truncated"));
        assert!(
            ["run --fresh test/c0", "truncate: ignore", "truncate: propagate"]
                .iter()
                .all(|way| error.suggestion.contains(way)),
            "{error}"
        );
    }
    let mut task = with("ignore").with_state(task.state().clone());
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    assert_eq!(fold.0[0].len(), 2, "what was captured stays");
    // It is what is meant where nothing is said.
    let mut task = base.task(&T).with_state(task.state().clone());
    base.run("TRUNCATE t");
    base.run("INSERT INTO t VALUES (3)");
    catch_up(&mut task, &mut fold, &T).await.unwrap();
    fold.assert_is(&base, &T);
}
