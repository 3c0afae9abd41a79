//! From one SQLite database to another, row for row: what was there, what changes, what goes; killed at random while it is written to.

use longshore_tests::killing::{nothing_lost_or_twice, plan, run_into_a_kill};
use longshore_tests::shop::{self, Writer};

const RUN: [&str; 3] = ["run", "--until", "caught-up"];

#[test]
fn rows_changes_deletions_and_new_columns_arrive() {
    let scene = shop::scene(2_000);
    scene.longshore(["check"]).expect_code(0);
    scene.longshore(RUN).expect_code(0);
    shop::assert_copied(&scene);

    let database = shop::open(&scene.join("shop.db"));
    database
        .execute_batch(
            "DELETE FROM orders WHERE id % 3 = 0; UPDATE orders SET id = -id WHERE id % 5 = 0;
             REPLACE INTO orders VALUES (9999, 'c1', 1, 'pushes order 1 out'); DELETE FROM lines WHERE shop = 's1';",
        )
        .expect("changes");
    scene.longshore(RUN).expect_code(0);
    shop::assert_copied(&scene);
    let rows = scene.longshore(["run", "--until", "caught-up", "--json"]).expect_code(0).rows("shop");
    assert!(rows.iter().all(|(_, rows)| *rows == 0), "once more moves nothing: {rows:?}");

    database
        .execute_batch(
            "ALTER TABLE lines ADD COLUMN unit TEXT DEFAULT 'piece'; UPDATE lines SET unit = 'kg' WHERE nr < 100;",
        )
        .expect("a new column");
    scene.longshore(RUN).expect_code(0);
    shop::assert_copied(&scene);
}

/// The table is made again: a stop that names the way out, and the way out.
#[test]
fn a_table_that_is_made_again_stops_until_it_is_captured_afresh() {
    let scene = shop::scene(50);
    scene.longshore(RUN).expect_code(0);
    let database = shop::open(&scene.join("shop.db"));
    database
        .execute_batch(
            "DROP TABLE lines; CREATE TABLE lines (shop TEXT NOT NULL, nr INTEGER NOT NULL, amount INTEGER, PRIMARY KEY (shop, nr)) WITHOUT ROWID;
             INSERT INTO lines VALUES ('s1', 1, 1);",
        )
        .expect("another table");
    let stopped = scene.longshore(RUN).expect_code(1);
    let said = format!("{}{}", stopped.stdout, stopped.stderr);
    assert!(said.contains("run --fresh shop/shop/lines"), "{said}");
    scene.longshore(["run", "--until", "caught-up", "--fresh", "shop/shop/lines", "--yes"]).expect_code(0);
    let others = longshore_tests::destination::table(&scene.join("shop.db"), "orders");
    assert_eq!(longshore_tests::destination::table(&scene.join("out.db"), "orders"), others);
}

#[test]
fn a_database_that_is_written_to_all_the_while_killed_at_random_moments() {
    let (kills, mut dice) = plan();
    let mut killed = 0;
    while killed < kills {
        let scene = shop::scene(2_500);
        let writer = Writer::start(&scene, dice.below(u64::MAX));
        for _ in 0..4 {
            killed += run_into_a_kill(&scene, &RUN, (20, 700), &mut dice);
        }
        let transactions = writer.stop();
        assert!(transactions > 10, "it wrote all the while: {transactions}");
        scene.longshore(RUN).expect_code(0);
        shop::assert_copied(&scene);
    }
    println!("{}", nothing_lost_or_twice("capture-sqlite-kills", &dice, killed));
}
