//! Catalogs by the hundred: a small valid one, and changes to it that a person could make on purpose or by mistake, in the catalog and in
//! what it names. Which of them are mistakes is not said here: that is for `check` to find out, and for a run to hold it to.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::scene::Scene;

/// Where the catalog of a case is.
pub const CATALOG: &str = "longshore.yaml";

/// One change: to the catalog, or to the world that it names.
pub struct Change {
    /// For people.
    pub what: String,
    /// The task that must be there for it to matter.
    task: &'static str,
    act: Act,
}

type World = fn(&Scene);

enum Act {
    Set(&'static str, Value),
    Remove(&'static str),
    World(World),
}

/// A catalog, and how it came about.
pub struct Case {
    /// The changes, in order.
    pub changes: Vec<String>,
    /// As it is now; JSON is YAML.
    pub catalog: Value,
    /// As it was before the changes.
    pub before: Value,
    worlds: Vec<World>,
}

impl Case {
    /// The case of a number: each change has its turn, half of them together with a second one.
    #[must_use]
    pub fn of(number: usize, changes: &[Change], dice: &mut Dice) -> Self {
        let mut chosen = vec![&changes[number % changes.len()]];
        if dice.below(2) == 0 {
            chosen.push(&changes[dice.below(changes.len() as u64) as usize]);
        }
        let before = valid(&chosen.iter().map(|change| change.task).collect(), dice);
        let mut case = Self { changes: Vec::new(), catalog: before.clone(), before, worlds: Vec::new() };
        for change in chosen {
            case.changes.push(change.what.clone());
            match &change.act {
                Act::Set(pointer, value) => set(&mut case.catalog, pointer, value.clone()),
                Act::Remove(pointer) => remove(&mut case.catalog, pointer),
                Act::World(act) => case.worlds.push(*act),
            }
        }
        case
    }

    /// Puts the data there, and the catalog as it was before the changes.
    pub fn begin(&self, scene: &Scene) {
        scene.write("data/a.csv", "id,v,n\n1,x,1.5\n2,y,\n3,,7\n").write("data/b.csv", "id,w\n1,true\n2,false\n");
        scene.write("data/j.jsonl", "{\"id\":1,\"o\":{\"x\":1}}\n{\"id\":2}\n").write("data/t.tsv", "id\tv\n1\tx\n");
        scene.write("a-file", "not a database\n").write(CATALOG, format!("{:#}\n", self.before));
    }

    /// Makes the changes.
    pub fn change(&self, scene: &Scene) {
        self.worlds.iter().for_each(|act| act(scene));
        scene.write(CATALOG, format!("{:#}\n", self.catalog));
    }
}

/// A valid catalog with these tasks, and with what they need to have something to do.
fn valid(tasks: &BTreeSet<&str>, dice: &mut Dice) -> Value {
    let mut keep = tasks.clone();
    let mut one_of = |names: &[&'static str]| {
        if !names.iter().any(|name| keep.contains(name)) {
            keep.insert(names[dice.below(names.len() as u64) as usize]);
        }
    };
    one_of(&["in", "made"]);
    one_of(&["db", "dir", "nul"]);
    let mut catalog = everything();
    for kind in ["captures", "materializations"] {
        if let Some(all) = catalog[kind].as_object_mut() {
            all.retain(|name, _| keep.contains(name.as_str()));
        }
    }
    let written: BTreeSet<String> = collections_of(&catalog["captures"]).collect();
    if let Some(tasks) = catalog["materializations"].as_object_mut() {
        for bindings in tasks.values_mut().filter_map(|task| task["bindings"].as_array_mut()) {
            bindings.retain(|binding| binding["collection"].as_str().is_some_and(|name| written.contains(name)));
        }
    }
    if let Some(collections) = catalog["collections"].as_object_mut() {
        collections.retain(|name, _| written.contains(name));
    }
    catalog
}

fn collections_of(tasks: &Value) -> impl Iterator<Item = String> {
    let bindings = tasks.as_object().into_iter().flatten().filter_map(|(_, task)| task["bindings"].as_array());
    bindings.flatten().filter_map(|binding| binding["collection"].as_str()).map(str::to_owned)
}

fn everything() -> Value {
    json!({
        "captures": {
            "in": {
                "connector": "files",
                "config": { "path": "./data", "poll_interval": "20ms" },
                "bindings": [
                    { "resource": { "glob": "a.csv" }, "collection": "t/a" },
                    { "resource": { "glob": "b.csv" }, "collection": "t/b" },
                ],
            },
            "made": {
                "connector": "generator",
                "config": { "count": 3, "documents": 2 },
                "bindings": [{ "resource": { "stream": "s" }, "collection": "t/s" }],
            },
        },
        "collections": { "t/a": { "key": ["/id"] }, "t/b": { "key": ["/id"] }, "t/s": { "key": ["/id"] } },
        "materializations": {
            "db": {
                "connector": "sqlite",
                "config": { "path": "./out.db" },
                "bindings": [
                    { "resource": { "table": "a" }, "collection": "t/a" },
                    { "resource": { "table": "b" }, "collection": "t/b" },
                    { "resource": { "table": "s" }, "collection": "t/s" },
                ],
            },
            "dir": {
                "connector": "files",
                "config": { "path": "./out" },
                "bindings": [
                    { "resource": { "name": "a" }, "collection": "t/a", "delta_updates": true },
                    { "resource": { "name": "s" }, "collection": "t/s", "delta_updates": true },
                ],
            },
            "nul": {
                "connector": "null",
                "config": { "path": "./null.json" },
                "bindings": [
                    { "resource": { "name": "a" }, "collection": "t/a" },
                    { "resource": { "name": "s" }, "collection": "t/s" },
                ],
            },
        },
    })
}

/// Every change there is.
#[must_use]
pub fn changes() -> Vec<Change> {
    let mut changes = Vec::new();
    of_captures(&mut changes);
    of_collections(&mut changes);
    of_destinations(&mut changes);
    of_fields(&mut changes);
    of_the_world(&mut changes);
    changes
}

fn of_captures(changes: &mut Vec<Change>) {
    let long = "d".repeat(300);
    let config: [(&'static str, &'static str, Vec<Value>); 16] = [
        (
            "in",
            "path",
            vec![
                json!("."),
                json!("./nothing"),
                json!("a-file"),
                json!(""),
                json!(long),
                json!("data/a.csv"),
                json!("data/../data"),
            ],
        ),
        ("in", "format", vec![json!("csv"), json!("tsv"), json!("jsonl"), json!("xml")]),
        (
            "in",
            "columns",
            vec![json!(["id", "v", "n"]), json!(["id", "id"]), json!([]), json!(["v"]), json!(["_meta"])],
        ),
        ("in", "header", vec![json!(false), json!(true), json!("yes")]),
        ("in", "delimiter", vec![json!(";"), json!("\t"), json!("ab"), json!("\""), json!("")]),
        ("in", "null_values", vec![json!(["1"]), json!(["id"]), json!([]), json!("NA")]),
        ("in", "quoting", vec![json!(false)]),
        ("in", "compression", vec![json!("gzip"), json!("none"), json!("zstd")]),
        ("in", "poll_interval", vec![json!("0s"), json!("10"), json!("5ms")]),
        ("made", "mode", vec![json!("hello"), json!("null"), json!("nothing")]),
        ("made", "documents", vec![json!(0), json!(1), json!(-1)]),
        ("made", "body_bytes", vec![json!([]), json!([0]), json!([20_000_000]), json!(7)]),
        ("made", "keys", vec![json!(0), json!(1), json!(4_294_967_296_u64)]),
        ("made", "rate", vec![json!(0), json!(1_000), json!(4_000_000_000_u32)]),
        ("made", "transactions_per_checkpoint", vec![json!(0), json!(1_000_000)]),
        ("made", "count", vec![json!(0), json!(1)]),
    ];
    for (task, key, values) in config {
        let at = leak(format!("/captures/{task}/config/{key}"));
        changes.extend(values.into_iter().map(|value| Change::set(task, at, value)));
    }
    let globs = [
        "*.csv",
        "nothing.csv",
        "[",
        "../data/a.csv",
        "**/*",
        "a.csv",
        "{a,b}.csv",
        "j.jsonl",
        "t.tsv",
        "a-file",
        "",
        "./a.csv",
    ];
    changes.extend(globs.map(|glob| Change::set("in", "/captures/in/bindings/1/resource/glob", json!(glob))));
    changes.push(Change::set("in", "/captures/in/bindings/1/collection", json!("t/a")));
    changes.push(Change::set("in", "/captures/in/bindings/1/collection", json!("t/other")));
    changes.push(Change::set("made", "/captures/made/bindings/0/resource/stream", json!("")));
    let null = |key: &str, value: u32| json!({ "mode": "null", "count": 1, key: value });
    for config in [
        null("documents", 2_000_000),
        null("documents", 3),
        json!({ "mode": "null", "count": 1, "body_bytes": [20_000_000] }),
    ] {
        changes.push(Change::set("made", "/captures/made/config", config));
    }
    for memory in ["./memory.json", "./nowhere/memory.json", "./data", "a-file"] {
        let config = json!({ "count": 3, "documents": 1, "prune": true, "memory": memory });
        changes.push(Change::set("made", "/captures/made/config", config));
    }
    let again = json!({ "resource": { "stream": "s" }, "collection": "t/b" });
    changes.push(Change::set("made", "/captures/made/bindings/1", again));
    let other = json!({ "resource": { "stream": "other" }, "collection": "t/s" });
    changes.push(Change::set("made", "/captures/made/bindings/1", other));
    changes.push(Change::remove("in", "/captures/in/bindings/1"));
    changes.push(Change::remove("made", "/captures/made/bindings"));
    changes.push(Change::set("in", "/captures/in/connector", json!("generator")));
    changes.push(Change::set("in", "/captures/in/connector", json!("nothing")));
    let command =
        json!({ "command": ["./a-file"], "config": {}, "bindings": [{ "resource": {}, "collection": "t/x" }] });
    changes.push(Change::set("in", "/captures/in", command));
}

fn of_collections(changes: &mut Vec<Change>) {
    let keys = [
        json!(["/v"]),
        json!(["/nothing"]),
        json!(["/n"]),
        json!(["/id", "/v"]),
        json!(["/v/x"]),
        json!(["/id/x"]),
        json!([]),
        json!(["id"]),
        json!(["/id", "/id"]),
        json!(["/_meta/source/file", "/_meta/source/record"]),
        json!(["/_meta"]),
        json!([""]),
        json!(["/"]),
        json!(["/ID"]),
        json!("/id"),
    ];
    changes.extend(keys.map(|key| Change::set("in", "/collections/t~1a/key", key)));
    for key in [json!(["/body"]), json!(["/nothing"]), json!(["/id/x"]), json!(["/_meta/source"])] {
        changes.push(Change::set("made", "/collections/t~1s/key", key));
    }
    let schemas = [
        json!({}),
        json!({ "type": "object" }),
        json!({ "type": "string" }),
        json!({ "type": 5 }),
        json!(true),
        json!({ "type": "object", "properties": { "id": { "type": "integer" } }, "additionalProperties": false }),
        json!({ "type": "object", "properties": { "v": {}, "n": {} }, "additionalProperties": false }),
        json!({ "type": "object", "properties": { "id": { "type": "object" } } }),
        json!({ "type": "object", "properties": { "id": { "type": "string" }, "v": {}, "n": {} } }),
        json!({ "type": "object", "properties": { "id": { "$ref": "#/nowhere" } } }),
        json!({ "type": "object", "properties": { "id": { "type": "integer" }, "v": { "pattern": "(" } } }),
        json!({ "type": "object", "properties": { "id": { "type": "integer" }, "ID": { "type": "integer" } } }),
        json!({ "type": "object", "properties": { "id": { "type": "integer" }, "": {}, "a\u{0}b": {} } }),
        json!({ "type": "object", "required": ["id", "missing"] }),
        json!({ "type": "object", "properties": { "id": { "type": ["integer", "null"] }, "v": {}, "n": { "type": "integer" } } }),
        wide(),
    ];
    changes.extend(schemas.map(|schema| Change::set("in", "/collections/t~1a/schema", schema)));
    changes.extend(reduced().map(|schema| Change::set("db", "/collections/t~1a/schema", schema)));
    let retentions = ["all", "consumed", "some"].map(Value::from);
    changes.extend(retentions.map(|word| Change::set("in", "/collections/t~1a/retention", word)));
    let validations = ["enforce", "infer", "off", "strict"].map(Value::from);
    changes.extend(validations.map(|word| Change::set("in", "/collections/t~1a/validation", word)));
    let violations = ["stop", "dead_letter", "skip"].map(Value::from);
    changes.extend(violations.map(|word| Change::set("in", "/captures/in/bindings/0/on_violation", word)));
    changes.push(Change::remove("in", "/collections/t~1a"));
    changes.push(Change::remove("in", "/collections/t~1a/key"));
    changes.push(Change::set("in", "/collections/t~1unused", json!({ "key": ["/id"] })));
}

fn of_fields(changes: &mut Vec<Change>) {
    let long = "f".repeat(300);
    let fields = [
        json!({}),
        json!(null),
        json!([]),
        json!({ "include": [] }),
        json!({ "include": ["v"] }),
        json!({ "include": ["*", "/v/x", "_meta", "nothing"] }),
        json!({ "exclude": ["v", "/n"] }),
        json!({ "exclude": ["id"] }),
        json!({ "exclude": ["nothing"] }),
        json!({ "exclude": ["/v/x"] }),
        json!({ "exclude": [""] }),
        json!({ "rename": { "id": "v", "v": "id" } }),
        json!({ "rename": { "id": "ROWID" } }),
        json!({ "rename": { "v": long } }),
        json!({ "rename": { "v": "a\u{0}b" } }),
        json!({ "rename": { "v": "N" } }),
        json!({ "rename": { "v": "x", "n": "X" } }),
        json!({ "document": "id" }),
        json!({ "document": "doc", "include": [] }),
        json!({ "document": "" }),
    ];
    for task in ["db", "dir", "nul"] {
        let at = |key: &str| leak(format!("/materializations/{task}/bindings/0/{key}"));
        changes.extend(fields.iter().map(|fields| Change::set(task, at("fields"), fields.clone())));
        for word in ["widen", "split", "stop", "dead_letter", "wider"] {
            changes.push(Change::set(task, at("on_conflict"), json!(word)));
        }
    }
}

/// Schemas that say how documents of a key become one.
fn reduced() -> [Value; 8] {
    let of = |root: Value, v: Value, n: Value| json!({ "type": "object", "reduce": root, "properties": { "id": { "type": "integer" }, "v": v, "n": n } });
    let by = |strategy: &str| json!({ "strategy": strategy });
    let sum = || json!({ "type": "integer", "reduce": { "strategy": "sum" } });
    let text = || json!({ "type": ["string", "integer", "null"] });
    [
        of(by("merge"), text(), sum()),
        of(by("merge"), json!({}), sum()),
        of(by("merge"), json!({ "type": "string", "reduce": by("sum") }), sum()),
        of(by("lastWriteWins"), text(), sum()),
        of(by("firstWriteWins"), text(), json!({ "type": "integer" })),
        of(json!({ "strategy": "maximize", "key": ["/n"] }), text(), json!({ "type": "integer" })),
        of(json!({ "strategy": "maximize", "key": ["n"] }), text(), json!({ "type": "integer" })),
        of(
            by("merge"),
            json!({ "type": ["string", "integer"], "reduce": by("minimize") }),
            json!({ "type": "array", "reduce": by("set") }),
        ),
    ]
}

/// More fields than a table takes.
fn wide() -> Value {
    let fields: serde_json::Map<String, Value> = (0..2_100).map(|n| (format!("f{n}"), json!({}))).collect();
    json!({ "type": "object", "properties": fields })
}

fn of_destinations(changes: &mut Vec<Change>) {
    let long = "n".repeat(300);
    let config: [(&'static str, &'static str, Vec<Value>); 9] = [
        (
            "db",
            "path",
            vec![
                json!("./nowhere/out.db"),
                json!("./data"),
                json!("a-file"),
                json!("a-file/out.db"),
                json!(""),
                json!(":memory:"),
                json!("file:out.db"),
                json!("file:out.db?mode=ro"),
                json!(long.clone()),
                json!("out"),
                json!("sub/../out.db"),
                json!("a\u{0}b"),
                json!("/dev/null"),
            ],
        ),
        ("db", "nothing", vec![json!(1)]),
        (
            "dir",
            "path",
            vec![
                json!("a-file"),
                json!("a-file/out"),
                json!("./deep/er/out"),
                json!(""),
                json!("."),
                json!(long.clone()),
                json!("data"),
                json!("/dev/null"),
                json!("a\u{0}b"),
            ],
        ),
        ("dir", "format", vec![json!("csv"), json!("xml")]),
        ("dir", "compression", vec![json!("gzip"), json!("zstd")]),
        (
            "nul",
            "path",
            vec![
                json!("./nowhere/null.json"),
                json!("./data"),
                json!("a-file"),
                json!("a-file/x"),
                json!(""),
                json!(long.clone()),
                json!("/dev/null"),
                json!("a\u{0}b"),
            ],
        ),
        ("nul", "delay", vec![json!("5x"), json!("1ms"), json!(5), json!("18446744073709551615m")]),
        ("nul", "guarantee", vec![json!("idempotent"), json!("transactional"), json!("at-least-once")]),
        ("nul", "delay_per", vec![json!("document"), json!("day")]),
    ];
    for (task, key, values) in config {
        let at = leak(format!("/materializations/{task}/config/{key}"));
        changes.extend(values.into_iter().map(|value| Change::set(task, at, value)));
    }
    let tables = ["", "sqlite_a", "_longshore_a", "b", "B", "s", "a\"b", "a\u{0}b", "main.a", " ", long.as_str()];
    changes
        .extend(tables.map(|table| Change::set("db", "/materializations/db/bindings/0/resource/table", json!(table))));
    let names = [
        "",
        "..",
        ".hidden",
        "s",
        "S",
        "a/b",
        "s/a",
        "/tmp",
        "a\u{0}b",
        "a\\b",
        "a%2Fb",
        long.as_str(),
        "a//b",
        "con trol",
    ];
    changes.extend(names.map(|name| Change::set("dir", "/materializations/dir/bindings/0/resource/name", json!(name))));
    for name in ["", "s", "a\u{0}b"] {
        changes.push(Change::set("nul", "/materializations/nul/bindings/0/resource/name", json!(name)));
    }
    for (task, delta) in [("db", true), ("dir", false), ("nul", true)] {
        changes.push(Change::set(
            task,
            leak(format!("/materializations/{task}/bindings/0/delta_updates")),
            json!(delta),
        ));
    }
    for (task, collection) in [("db", "t/nothing"), ("db", "t/b"), ("dir", "t/s"), ("nul", "T/A")] {
        let at = leak(format!("/materializations/{task}/bindings/0/collection"));
        changes.push(Change::set(task, at, json!(collection)));
    }
    for task in ["db", "dir", "nul"] {
        changes.push(Change::remove(task, leak(format!("/materializations/{task}/bindings/0"))));
        changes.push(Change::set(task, "/materializations/twin", everything()["materializations"][task].clone()));
        let mut spelled = everything()["materializations"][task].clone();
        let path =
            spelled["config"]["path"].as_str().map(|path| path.replacen("./", "data/../", 1)).unwrap_or_default();
        spelled["config"]["path"] = json!(path);
        if task == "dir" {
            spelled["config"]["format"] = json!("csv");
        }
        changes.push(Change::set(task, "/materializations/spelled", spelled));
    }
}

fn of_the_world(changes: &mut Vec<Change>) {
    let worlds: [(&'static str, &'static str, World); 22] = [
        ("in", "no data", |scene| drop(std::fs::remove_dir_all(scene.join("data")))),
        ("in", "an empty file", |scene| put(scene, "data/a.csv", "")),
        ("in", "only a header", |scene| put(scene, "data/a.csv", "id,v,n\n")),
        ("in", "a header with a name twice", |scene| put(scene, "data/a.csv", "id,id,n\n1,2,3\n")),
        ("in", "a header without a name", |scene| put(scene, "data/a.csv", "id,,n\n1,2,3\n")),
        ("in", "a column named _meta", |scene| put(scene, "data/a.csv", "id,_meta\n1,2\n")),
        ("in", "columns that differ in case", |scene| put(scene, "data/a.csv", "id,ID,v\n1,2,3\n")),
        ("in", "a row too short", |scene| put(scene, "data/a.csv", "id,v,n\n1\n")),
        ("in", "a key that is empty", |scene| put(scene, "data/a.csv", "id,v,n\n,x,1\n")),
        ("in", "no newline at the end", |scene| put(scene, "data/a.csv", "id,v,n\n1,x,1")),
        ("in", "UTF-16", |scene| put(scene, "data/a.csv", [0xff, 0xfe, b'i', 0, b'd', 0, b'\n', 0])),
        ("in", "no UTF-8 in the header", |scene| put(scene, "data/a.csv", b"id,\xff\n1,2\n")),
        ("in", "a quote that is not closed", |scene| put(scene, "data/a.csv", "id,v,n\n1,\"x,1\n")),
        ("in", "a directory named like the file", |scene| {
            drop(std::fs::remove_file(scene.join("data/a.csv")));
            put(scene, "data/a.csv/inner", "");
        }),
        ("in", "another file beside", |scene| put(scene, "data/c.csv", "id,x\n7,8\n")),
        ("db", "a table of somebody else with rows", |scene| {
            sql(scene, "CREATE TABLE a (id); INSERT INTO a VALUES (1)")
        }),
        ("db", "an empty table of somebody else", |scene| sql(scene, "CREATE TABLE a (other INT)")),
        ("db", "a view in place of the table", |scene| sql(scene, "CREATE VIEW a AS SELECT 1 AS id")),
        ("db", "an index named like the table", |scene| sql(scene, "CREATE TABLE z (x); CREATE INDEX a ON z (x)")),
        ("db", "a column of a type of its own", |scene| sql(scene, "ALTER TABLE a ADD COLUMN q BLOB")),
        ("dir", "a file in place of the directory", |scene| {
            drop(std::fs::remove_dir_all(scene.join("out")));
            put(scene, "out", "a file");
        }),
        ("dir", "a file in place of the binding's directory", |scene| {
            drop(std::fs::remove_dir_all(scene.join("out/a")));
            put(scene, "out/a", "a file");
        }),
    ];
    changes.extend(worlds.map(|(task, what, act)| Change { what: what.to_owned(), task, act: Act::World(act) }));
}

fn put(scene: &Scene, path: &str, content: impl AsRef<[u8]>) {
    scene.write(path, content);
}

/// What cannot be done to this database is left undone.
fn sql(scene: &Scene, statements: &str) {
    if let Ok(connection) = Connection::open(scene.join("out.db")) {
        drop(connection.execute_batch(statements));
    }
}

impl Change {
    fn set(task: &'static str, at: &'static str, value: Value) -> Self {
        let mut shown = value.to_string();
        shown.truncate(shown.floor_char_boundary(120));
        Self { what: format!("{at} = {shown}"), task, act: Act::Set(at, value) }
    }

    fn remove(task: &'static str, at: &'static str) -> Self {
        Self { what: format!("no {at}"), task, act: Act::Remove(at) }
    }
}

/// The table is made once.
fn leak(text: String) -> &'static str {
    text.leak()
}

/// Sets what a pointer names, if what holds it is there.
fn set(root: &mut Value, pointer: &str, value: Value) {
    let Some((holder, name)) = split(root, pointer) else { return };
    match holder {
        Value::Object(members) => drop(members.insert(name, value)),
        Value::Array(items) => match name.parse::<usize>() {
            Ok(at) if at < items.len() => items[at] = value,
            Ok(_) | Err(_) => items.push(value),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn remove(root: &mut Value, pointer: &str) {
    match split(root, pointer) {
        Some((Value::Object(members), name)) => drop(members.remove(&name)),
        Some((Value::Array(items), name)) => items.retain({
            let mut at = 0;
            move |_| {
                at += 1;
                name != (at - 1).to_string()
            }
        }),
        Some(_) | None => {}
    }
}

fn split<'v>(root: &'v mut Value, pointer: &str) -> Option<(&'v mut Value, String)> {
    let (holder, name) = pointer.rsplit_once('/')?;
    Some((root.pointer_mut(holder)?, name.replace("~1", "/").replace("~0", "~")))
}
