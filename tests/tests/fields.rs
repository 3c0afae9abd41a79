//! Which fields of a collection arrive, and under which names: in real tables and files, over changes of the catalog and of the data.

use longshore_tests::destination;
use longshore_tests::scene::{Finished, Scene};
use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::Value;

const UNTIL: [&str; 3] = ["run", "--until", "caught-up"];

/// A catalog over `data/a.jsonl`, with this collection, into the table `a`, and into JSONL and CSV files; `binding` is said of all three.
fn catalog(scene: &Scene, collection: &str, binding: &str) {
    let file = |task: &str, format: &str| {
        format!(
            "  {task}:\n    connector: files\n    config: {{ path: ./{task}, format: {format} }}\n    bindings:\n      \
             - {{ collection: t/a, resource: {{ name: a }}, delta_updates: true{binding} }}\n"
        )
    };
    scene.write(
        "longshore.yaml",
        format!(
            "captures:\n  in:\n    connector: files\n    config: {{ path: ./data }}\n    bindings:\n      \
             - {{ resource: {{ glob: \"a*.jsonl\" }}, collection: t/a }}\ncollections:\n  t/a: {collection}\nmaterializations:\n  \
             db:\n    connector: sqlite\n    config: {{ path: ./out.db }}\n    bindings:\n      \
             - {{ collection: t/a, resource: {{ table: a }}{binding} }}\n{}{}",
            file("lines", "jsonl"),
            file("sheet", "csv"),
        ),
    );
}

fn columns(scene: &Scene) -> Vec<String> {
    strings(&query(scene, "SELECT name FROM pragma_table_info('a') ORDER BY cid"))
}

fn query(scene: &Scene, select: &str) -> Vec<Vec<Sql>> {
    let connection = Connection::open(scene.join("out.db")).expect("a database");
    let mut select = connection.prepare(select).unwrap_or_else(|error| panic!("{select}: {error}"));
    let width = select.column_count();
    let rows = select.query_map([], |row| (0..width).map(|i| row.get(i)).collect()).expect("rows");
    rows.map(|row| row.expect("a row")).collect()
}

fn strings(rows: &[Vec<Sql>]) -> Vec<String> {
    let text = |value: &Sql| match value {
        Sql::Null => "-".to_owned(),
        Sql::Integer(value) => value.to_string(),
        Sql::Real(value) => format!("{value:?}"),
        Sql::Text(text) => text.clone(),
        Sql::Blob(_) => panic!("a blob"),
    };
    rows.iter().map(|row| row.iter().map(text).collect::<Vec<_>>().join("|")).collect()
}

/// Lines of the published CSV files, without their headers; and the headers.
fn sheet(scene: &Scene) -> (Vec<String>, Vec<String>) {
    let entries = std::fs::read_dir(scene.join("sheet/a")).expect("a directory");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let (mut headers, mut lines) = (Vec::new(), Vec::new());
    for text in files.iter().map(|file| std::fs::read_to_string(file).expect("a file")) {
        let mut of_file = text.lines().map(str::to_owned);
        headers.extend(of_file.next());
        lines.extend(of_file);
    }
    (headers, lines)
}

fn documents(scene: &Scene) -> Vec<Value> {
    destination::documents(&scene.join("lines/a"))
}

fn run(scene: &Scene) -> Finished {
    scene.longshore(UNTIL).expect_code(0)
}

#[test]
fn the_user_says_which_fields_arrive_and_under_which_names() {
    let scene = Scene::new();
    let lines = ["{\"id\":1,\"a\":\"\",\"n\":{\"x\":1.10,\"y\":[ ]}, \"b\":true}", "{\"id\":2,\"a\":null,\"b\":false}"];
    scene.write("data/a.jsonl", lines.join("\n") + "\n");
    let fields = ", fields: { include: [\"*\", /n/x], exclude: [n, /a], rename: { id: ID, /n/x: nx }, document: doc }";
    catalog(&scene, "{ key: [/id] }", fields);
    let check = scene.longshore(["check"]).expect_code(0);
    assert!(check.stdout.contains("/id as \"ID\"") && check.stdout.contains("/n/x as \"nx\""), "{}", check.stdout);
    run(&scene);
    assert_eq!(columns(&scene), ["ID", "b", "nx", "doc"]);
    let rows = strings(&query(&scene, "SELECT * FROM a"));
    assert_eq!(rows, [format!("1|1|1.1|{}", lines[0]), format!("2|0|-|{}", lines[1])]);
    let (headers, records) = sheet(&scene);
    assert_eq!(headers, ["ID,b,nx,doc"]);
    assert!(records[0].starts_with("1,true,1.10,\"{\"\"id\"\":1,"), "{records:?}");
    assert_eq!(
        documents(&scene)[1],
        serde_json::json!({ "ID": 2, "b": false, "doc": { "id": 2, "a": null, "b": false } })
    );
}

#[test]
fn names_that_are_one_to_a_destination_are_told_apart_and_stay_so() {
    let scene = Scene::new();
    let long = "l".repeat(300);
    scene.write("data/a.jsonl", format!("{{\"Id\":1,\"id\":\"x\",\"rowid\":7,\"{long}\":true}}\n"));
    catalog(&scene, "{ key: [/id] }", "");
    let check = scene.longshore(["check"]).expect_code(0);
    assert!(
        check.stdout.contains("/id as \"id_2\"") && check.stdout.contains("/rowid as \"rowid_\""),
        "{}",
        check.stdout
    );
    run(&scene);
    let first = columns(&scene);
    assert_eq!(first[..3], ["Id", "id_2", "rowid_"]);
    assert!(first[3].len() == 255 && first[3].starts_with("lll"), "{first:?}");
    assert_eq!(strings(&query(&scene, "SELECT * FROM a")), ["1|x|7|1"]);
    assert_eq!(documents(&scene)[0]["id"], "x", "files know no such rule");
    assert_eq!(sheet(&scene).0, [format!("Id,id,rowid,{long}")]);

    // A field that comes later does not take a name that is given.
    scene.write("data/a2.jsonl", "{\"ROWID_\":1,\"ID\":2,\"Id\":3,\"id\":\"y\",\"rowid\":8}\n");
    run(&scene);
    assert_eq!(columns(&scene)[..4], first);
    let check = scene.longshore(["check", "--json"]).expect_code(0);
    let fields =
        check.objects("checked").into_iter().find(|one| one["task"] == "db").expect("db")["bindings"][0]["fields"]
            .clone();
    let name = |pointer: &str| {
        let field = fields.as_array().expect("fields").iter().find(|field| field["pointer"] == pointer);
        field.unwrap_or_else(|| panic!("no {pointer} in {fields}"))["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(
        (name("/Id"), name("/id"), name("/ID"), name("/ROWID_")),
        ("Id".into(), "id_2".into(), "ID_3".into(), "ROWID__2".into())
    );
    let new = strings(&query(&scene, "SELECT Id, id_2, ID_3, rowid_, ROWID__2 FROM a ORDER BY Id"));
    assert_eq!(new, ["1|x|-|7|-", "3|y|2|8|1"]);
}

#[test]
fn a_renaming_goes_there_and_back_while_rows_keep_coming() {
    let scene = Scene::new();
    scene.write("data/a.jsonl", "{\"id\":1,\"v\":\"x\"}\n");
    catalog(&scene, "{ key: [/id] }", "");
    run(&scene);
    catalog(&scene, "{ key: [/id] }", ", fields: { rename: { id: key, v: value } }");
    scene.append("data/a.jsonl", "{\"id\":2,\"v\":\"y\"}\n{\"id\":1,\"v\":\"z\"}\n");
    run(&scene);
    assert_eq!(
        (columns(&scene), strings(&query(&scene, "SELECT * FROM a"))),
        (vec!["key".into(), "value".into()], vec!["1|z".to_owned(), "2|y".to_owned()])
    );
    catalog(&scene, "{ key: [/id] }", "");
    scene.append("data/a.jsonl", "{\"id\":2,\"v\":\"w\"}\n");
    run(&scene);
    assert_eq!(
        (columns(&scene), strings(&query(&scene, "SELECT * FROM a"))),
        (vec!["id".into(), "v".into()], vec!["1|z".to_owned(), "2|w".to_owned()])
    );
    let found = documents(&scene);
    assert_eq!(found.len(), 4);
    assert_eq!(
        (found[0]["v"].clone(), found[1]["value"].clone(), found[3]["v"].clone()),
        ("x".into(), "y".into(), "w".into())
    );
}

#[test]
fn a_field_that_is_left_out_keeps_its_column_and_old_values() {
    let scene = Scene::new();
    scene.write("data/a.jsonl", "{\"id\":1,\"v\":\"x\"}\n");
    catalog(&scene, "{ key: [/id] }", "");
    run(&scene);
    catalog(&scene, "{ key: [/id] }", ", fields: { exclude: [v] }");
    scene.append("data/a.jsonl", "{\"id\":2,\"v\":\"y\"}\n");
    run(&scene);
    assert_eq!(strings(&query(&scene, "SELECT id, v FROM a ORDER BY id")), ["1|x", "2|-"]);
    assert_eq!(sheet(&scene), (vec!["id,v".into(), "id".into()], vec!["1,x".into(), "2".into()]));
}

#[test]
fn what_a_choice_cannot_be_is_found_by_check_where_it_is_written() {
    let scene = Scene::new();
    scene.write("data/a.jsonl", "{\"id\":1,\"amount\":\"x\"}\n");
    for (fields, code, says) in [
        ("{ exclude: [id] }", "fields.key", "always kept"),
        ("{ rename: { amuont: x } }", "fields.unknown", "did you mean `amount`?"),
        ("{ rename: { amount: rowid } }", "fields.name", "write another name, such as `rowid_`"),
        ("{ exclude: [/amount/x] }", "fields.pointer", "one JSON value"),
    ] {
        // The schema is Discover's.
        catalog(&scene, "{ key: [/id] }", &format!(", fields: {fields}"));
        let refused = scene.longshore(["check"]).expect_code(2);
        assert!(
            refused.stderr.contains(&format!("error[{code}]")) && refused.stderr.contains(says),
            "{}",
            refused.stderr
        );
    }
}

/// Keys that a careless destination would take for one another, each with a number of its own.
fn keys() -> Vec<String> {
    let long = "k".repeat(300);
    let texts = [
        "", " ", "a", "A", "a ", "1", "1.0", "null", "é", "e\u{301}", "ﬀ", "ff", "😀", "\u{feff}", "%", "_", "'\"",
        "a/b",
    ];
    let mut keys: Vec<String> = texts.iter().map(|text| Value::from(*text).to_string()).collect();
    keys.extend(["x", "y", ""].map(|end| format!("\"{long}{end}\"")));
    keys
}

#[test]
fn keys_that_look_alike_keep_rows_distinct_in_every_destination() {
    let scene = Scene::new();
    let numbers = ["0", "-1", "9007199254740992", "9007199254740993", "-9223372036854775808", "9223372036854775807"];
    let mut lines = String::new();
    let mut count = 0;
    for text in keys() {
        for number in numbers {
            lines.push_str(&format!("{{\"s\":{text},\"n\":{number},\"v\":{count}}}\n"));
            count += 1;
        }
    }
    scene.write("data/a.jsonl", &lines);
    catalog(&scene, "{ key: [/s, /n] }", ", fields: { rename: { s: text, n: number } }");
    run(&scene);
    let distinct = "SELECT count(*) FROM (SELECT DISTINCT text, number, v FROM a)";
    assert_eq!(strings(&query(&scene, distinct)), [count.to_string()]);
    let found = documents(&scene);
    assert_eq!((found.len(), sheet(&scene).1.len()), (count, count));

    // Each key once more: rows are changed, none is added.
    scene.append("data/a.jsonl", lines.replace("\"v\":", "\"v\":1"));
    run(&scene);
    assert_eq!(strings(&query(&scene, distinct)), [count.to_string()]);
    for (number, document) in documents(&scene)[count..].iter().enumerate() {
        let key = rusqlite::params![document["text"].as_str(), document["number"].as_i64()];
        let connection = Connection::open(scene.join("out.db")).expect("a database");
        let v: i64 = connection
            .query_row("SELECT v FROM a WHERE text = ? AND number = ?", key, |row| row.get(0))
            .expect("a row");
        assert_eq!(v.to_string(), format!("1{number}"));
    }
}
