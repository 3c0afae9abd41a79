//! A binding that begins anew: all its rows come as a full refresh, which begins before anything else of it and is complete behind the last row.

use longshore_sdk::testing::Transaction;

use crate::base::{Base, Fold, Table, catch_up};

const T: [Table<'static>; 2] = [("t", &["/id"]), ("u", &["/id"])];
const TABLES: &str = "CREATE TABLE t (id bigint PRIMARY KEY, v text); CREATE TABLE u (id bigint PRIMARY KEY, v text); \
                      INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f'), (7, 'g'); INSERT INTO u VALUES (1, 'a')";

/// `begin` and `complete` of each binding, in their order.
fn said(transactions: &[Transaction]) -> Vec<(usize, &'static str)> {
    let refreshes = transactions.iter().flat_map(|transaction| &transaction.refreshes);
    refreshes.map(|refresh| (refresh.binding, if refresh.complete { "complete" } else { "begin" })).collect()
}

#[tokio::test]
async fn what_is_captured_for_the_first_time_is_no_refresh_and_what_begins_anew_is_one() {
    let base = Base::new(TABLES);
    let mut task = base.task(&T);
    task.apply().await.unwrap();
    let mut fold = Fold::default();
    assert_eq!(said(&catch_up(&mut task, &mut fold, &T).await.unwrap()), []);
    // What nobody told: as if the log had been lost.
    fold.0[0].insert("99".to_owned(), serde_json::json!({ "id": 99, "v": "gone" }));
    let mut task = base.task(&T).generation(1).with_state(task.state().clone());
    task.apply().await.unwrap();
    let transactions = catch_up(&mut task, &mut fold, &T).await.unwrap();
    let told = said(&transactions);
    assert_eq!(told[..2], [(0, "begin"), (1, "begin")]);
    let first = transactions.iter().find(|transaction| !transaction.documents.is_empty()).unwrap();
    assert!(first.refreshes.iter().filter(|refresh| !refresh.complete).all(|refresh| refresh.behind == 0));
    let mut complete = told[2..].to_vec();
    complete.sort_unstable();
    assert_eq!(complete, [(0, "complete"), (1, "complete")]);
    fold.assert_is(&base, &T);
    base.run("INSERT INTO t VALUES (8, 'h')");
    assert_eq!(said(&catch_up(&mut task, &mut fold, &T).await.unwrap()), []);
    fold.assert_is(&base, &T);
}

/// Wherever it breaks: what was durable is not begun again, what was not is.
#[tokio::test]
async fn a_refresh_that_breaks_goes_on_where_it_was_durable() {
    for durable in 0..6 {
        let base = Base::new(TABLES);
        let mut task = base.task(&T);
        task.apply().await.unwrap();
        let mut fold = Fold::default();
        catch_up(&mut task, &mut fold, &T).await.unwrap();
        fold.0[0].insert("99".to_owned(), serde_json::json!({ "id": 99, "v": "gone" }));
        let mut task = base.task(&T).generation(1).with_state(task.state().clone());
        task.apply().await.unwrap();
        let mut session = task.open().await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..durable {
            let transaction = session.next().await.unwrap().unwrap();
            let is_last = transaction.caught_up;
            seen.push(transaction);
            if is_last {
                break;
            }
        }
        session.commit().unwrap();
        drop(session);
        fold.take(&seen, &T);
        base.run("DELETE FROM t WHERE id = 2; UPDATE t SET v = 'x' WHERE id = 6; INSERT INTO t VALUES (0, 'z')");
        let rest = catch_up(&mut task, &mut fold, &T).await.unwrap();
        fold.assert_is(&base, &T);
        let told: Vec<_> = said(&seen).into_iter().chain(said(&rest)).collect();
        for binding in 0..T.len() {
            let of: Vec<_> = told.iter().filter(|(of, _)| *of == binding).map(|(_, what)| *what).collect();
            assert_eq!(of, ["begin", "complete"], "binding {binding} after {durable}");
        }
    }
}
