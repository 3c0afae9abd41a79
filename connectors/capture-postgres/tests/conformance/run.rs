//! Runs a case on a database of its own: between two sessions, of which the second streams it or reads it as a backlog, and while the table is
//! walked row by row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use capture_postgres::Postgres;
use longshore_postgres::Client;
use longshore_postgres::testing::Server;
use longshore_sdk::testing::{CaptureTask, Transaction};
use longshore_sdk::{Error, Result};
use serde_json::{Value, json};

use crate::base::{Base, Fold, Table, WHOLE, catch_up, plain};
use crate::case::{Bound, Case, Expect, Moment};

/// A text of 6 kB that cannot be made smaller, and another one each time.
const LARGE: &str = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 200))";
/// The select that prints a table as documents should have it, made by the server from its catalog. What is written another way on purpose is
/// written so here: moments end in Z, composites and times without a zone are texts. What looks like bytes in hex becomes base64 behind it.
const PRINT: &str = "
SELECT 'SELECT coalesce(json_agg(r), ''[]'')::text FROM (SELECT ' || string_agg(CASE
    WHEN coalesce(g.oid, f.oid, e.oid, b.oid) = 'timestamptz'::regtype THEN format('replace(to_json(%1$I)::text, ''+00:00'', ''Z'')::json', attname)
    WHEN e.oid = 'timestamp'::regtype OR e.typtype = 'c' THEN format('to_json(%1$I::text[])', attname)
    WHEN b.oid = 'timestamp'::regtype OR b.typtype = 'c' THEN format('to_json(%1$I::text)', attname)
    ELSE format('to_json(%1$I)', attname) END || ' AS ' || quote_ident(attname), ', ') || format(' FROM %s%I.%I) r',
    CASE WHEN c.relkind = 'p' THEN '' ELSE 'ONLY ' END, n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_type d ON d.oid = t.typbasetype JOIN pg_type b ON b.oid = coalesce(nullif(d.typbasetype, 0), d.oid, t.oid)
    LEFT JOIN pg_type e ON e.typarray = b.oid LEFT JOIN pg_type f ON f.oid = e.typbasetype LEFT JOIN pg_type g ON g.oid = f.typbasetype
WHERE n.nspname = $1 AND c.relname = $2 AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
GROUP BY c.relkind, n.nspname, c.relname";

/// Marks a step for the second connection.
const OTHER: &str = "other:";

/// A case and its database.
struct Scene<'b> {
    case: Case,
    base: &'b Base,
    client: Client,
    other: Option<Client>,
}

/// Why a case fails, if it does. It has a database to itself; the next case may have it after [`clean`].
pub(crate) async fn run(case: Case, moment: Moment, base: &Base) -> Result<(), String> {
    let said = |error: Error| format!("{:?} {}: {error}", error.kind, error.code);
    let has_other = case.during.iter().any(|step| step.starts_with(OTHER));
    let other = if has_other { Some(connected(base).await.map_err(said)?) } else { None };
    let scene = Scene { case, base, client: connected(base).await.map_err(said)?, other };
    scene.prepare().await?;
    match case.expect {
        Expect::Same => {
            let mut fold = Fold::default();
            scene.play(moment, &mut fold).await.map_err(said)?;
            scene.compare(&fold).await
        }
        Expect::Documents(wanted) => {
            let seen = scene.play(moment, &mut Fold::default()).await.map_err(said)?;
            let wanted: Vec<Value> = wanted.iter().map(|json| serde_json::from_str(json).expect("JSON")).collect();
            let seen = plain(&seen);
            if seen == wanted { Ok(()) } else { Err(format!("expected {wanted:?}, got {seen:?}")) }
        }
        Expect::Stops(kind, code) => match scene.play(moment, &mut Fold::default()).await {
            Err(error) if (error.kind, error.code.as_str()) != (kind, code) => {
                Err(format!("expected {kind:?} {code}, got {}", said(error)))
            }
            Err(error) if error.suggestion.is_empty() => Err(format!("no way out is said: {}", said(error))),
            Err(_) => Ok(()),
            Ok(_) => Err(format!("expected {kind:?} {code}, got no error")),
        },
    }
}

async fn connected(base: &Base) -> Result<Client> {
    let client = Client::connect(&base.db.endpoint()).await?;
    client.run("preparing a test", "SET search_path = public").await?;
    Ok(client)
}

impl Scene<'_> {
    fn role(&self) -> String {
        format!("role_{}", self.base.db.name())
    }

    fn filled(&self, sql: &str) -> String {
        let names = [("{slot}", self.base.slot()), ("{db}", self.base.db.name().to_owned()), ("{role}", self.role())];
        let sql = names.iter().fold(sql.to_owned(), |sql, (mark, name)| sql.replace(mark, name));
        sql.replace("{large}", LARGE)
    }

    async fn sql(&self, sql: &str) -> Result<(), String> {
        let (client, sql) = match (sql.strip_prefix(OTHER), &self.other) {
            (Some(sql), Some(other)) => (other, sql),
            (_, _) => (&self.client, sql),
        };
        client.run(sql, &self.filled(sql)).await.map_err(|error| error.to_string())
    }

    async fn prepare(&self) -> Result<(), String> {
        for part in self.case.before.split(";;") {
            self.sql(part).await?;
        }
        let Some((ty, _)) = self.case.values else { return Ok(()) };
        self.sql(&format!("CREATE TABLE t (id int PRIMARY KEY, v {ty}, a {ty}[], n {ty}[])")).await?;
        self.sql(&self.inserts(0)).await
    }

    /// A row for each value, with arrays of it.
    fn inserts(&self, first: usize) -> String {
        let mut sql = String::new();
        let Some((ty, literals)) = self.case.values else { return sql };
        for (place, literal) in literals.iter().enumerate() {
            let (id, value) = (first + place, format!("({literal})::{ty}"));
            let (one, two) =
                (format!("ARRAY[{value}, NULL]::{ty}[]"), format!("ARRAY[[{value}, NULL], [NULL, {value}]]::{ty}[]"));
            write!(sql, "INSERT INTO t VALUES ({id}, {value}, {one}, {two});").expect("writes");
        }
        write!(sql, "INSERT INTO t VALUES ({}, NULL, '{{}}', NULL)", first + literals.len()).expect("writes");
        sql
    }

    fn steps(&self) -> Vec<String> {
        let steps = self.case.during.iter().map(|step| (*step).to_owned());
        let of_values = [self.inserts(1000), "UPDATE t SET id = id + 5000 WHERE id < 1000".to_owned()];
        steps.chain(of_values.into_iter().filter(|_| self.case.values.is_some())).collect()
    }

    fn tables(&self, has_later: bool) -> Vec<Bound> {
        let later = self.case.later.filter(|_| has_later).unwrap_or_default();
        self.case.tables.iter().chain(later).copied().collect()
    }

    fn task(&self, moment: Moment, has_later: bool) -> CaptureTask<Postgres> {
        let mut config = json!({ "url": self.base.db.url(), "slot": self.base.slot(), "truncate": self.case.truncate });
        if let Some(role) = self.case.role {
            let mut url = self.base.db.url();
            url = url.replace("postgres@", &format!("{}@", role.name.map_or_else(|| self.role(), str::to_owned)));
            if let Some(database) = role.database {
                url = url.replace(&format!("/{}", self.base.db.name()), &format!("/{database}"));
            }
            config["url"] = json!(url);
            config["password"] = role.password.map_or(Value::Null, |password| json!(password));
        }
        let rows = if moment == Moment::Walking { 1 } else { 3 };
        let split = if self.case.split { 200 } else { WHOLE };
        let mut connector = Postgres::in_steps(rows, split);
        if moment == Moment::Backlog {
            connector = connector.with_backlogs(3);
        }
        let task = CaptureTask::new(connector, config);
        self.tables(has_later).into_iter().enumerate().fold(task, |task, (index, (schema, table, key))| {
            task.binding(json!({ "schema": schema, "table": table }), &format!("c{index}"), key)
        })
    }

    /// Lets it all happen; the transactions that came behind the first time that it was caught up.
    async fn play(&self, moment: Moment, fold: &mut Fold) -> Result<Vec<Transaction>> {
        let step = async |sql: &str| self.sql(sql).await.unwrap_or_else(|fault| panic!("{fault}"));
        let mut task = self.task(moment, false);
        let tables = self.tables(false);
        let tables: Vec<Table<'_>> = tables.iter().map(|(_, table, key)| (*table, *key)).collect();
        if matches!(self.case.expect, Expect::Stops(..)) {
            // What stops later Validate may not see, but what it says stops Apply.
            let findings = task.validate().await?;
            task.apply().await?;
            assert!(findings.is_empty(), "Apply did not see what Validate found: {findings:?}");
        } else {
            task.apply().await?;
        }
        let mut steps = self.steps().into_iter();
        if moment == Moment::Walking {
            let mut session = task.open().await?;
            loop {
                let transaction = session.next().await?.expect("it is not asked to stop");
                let is_end = transaction.caught_up;
                fold.take(&[transaction], &tables);
                session.acknowledge().await?;
                if is_end {
                    break;
                }
                if let Some(sql) = steps.next() {
                    step(&sql).await;
                }
            }
            session.stop().await?;
        } else {
            catch_up(&mut task, fold, &tables).await?;
        }
        let mut seen = Vec::new();
        for sql in steps {
            step(&sql).await;
            if self.case.by_steps {
                seen.extend(catch_up(&mut task, fold, &tables).await?);
            }
        }
        if self.case.later.is_none() {
            seen.extend(catch_up(&mut task, fold, &tables).await?);
            return Ok(seen);
        }
        let tables = self.tables(true);
        let tables: Vec<Table<'_>> = tables.iter().map(|(_, table, key)| (*table, *key)).collect();
        let mut task = self.task(moment, true).with_state(task.state().clone());
        task.apply().await?;
        seen.extend(catch_up(&mut task, fold, &tables).await?);
        Ok(seen)
    }

    /// The folded documents and the tables; of columns that are gone by now the documents may still tell.
    async fn compare(&self, fold: &Fold) -> Result<(), String> {
        for (captured, (schema, table, key)) in fold.0.iter().zip(self.tables(true)) {
            let rows = self.print(schema, table).await.map_err(|error| format!("printing {table}: {error}"))?;
            let mut wanted = Fold::default();
            let documents = rows.iter().map(|row| (0, with_meta(row))).collect();
            wanted.take(&[Transaction { documents, ..Transaction::default() }], &[(table, key)]);
            let wanted = wanted.0.remove(0);
            let mut captured = captured.clone();
            if let Some(row) = rows.first().and_then(Value::as_object) {
                for document in captured.values_mut() {
                    document.as_object_mut().expect("an object").retain(|name, _| row.contains_key(name));
                }
            }
            if captured != wanted {
                return Err(format!("{table} differs: {}", difference(&wanted, &captured)));
            }
        }
        Ok(())
    }

    async fn print(&self, schema: &str, table: &str) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
        let select: String = self.client.query_one(PRINT, &[&schema, &table]).await?.get(0);
        let text: String = self.client.query_one(&select, &[]).await?.get(0);
        let mut rows: Vec<Value> = serde_json::from_str(&text)?;
        rows.iter_mut().for_each(to_base64);
        Ok(rows)
    }
}

fn to_base64(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(to_base64),
        Value::Array(elements) => elements.iter_mut().for_each(to_base64),
        Value::String(text) => {
            let pairs = text.strip_prefix("\\x").map(|digits| digits.as_bytes().chunks(2));
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            if let Some(bytes) = pairs.and_then(|pairs| pairs.map(byte).collect::<Option<Vec<u8>>>()) {
                *text = STANDARD.encode(bytes);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn with_meta(row: &Value) -> Value {
    let mut row = row.clone();
    row["_meta"] = json!({ "op": "c" });
    row
}

fn difference(wanted: &BTreeMap<String, Value>, captured: &BTreeMap<String, Value>) -> String {
    let cut = |value: Option<&Value>| {
        value.map_or_else(|| "nothing".to_owned(), |value| value.to_string().chars().take(400).collect())
    };
    let mut text = String::new();
    for key in wanted.keys().chain(captured.keys().filter(|key| !wanted.contains_key(*key))) {
        let (one, other) = (wanted.get(key), captured.get(key));
        if one != other {
            write!(text, "\n    key {key}: the server has {}, captured {}", cut(one), cut(other)).expect("writes");
        }
    }
    text
}

/// The server of all cases: prepared transactions are allowed, and members of role `locked` need a password.
pub(crate) fn server() -> Arc<Server> {
    let server = Server::start("max_prepared_transactions = 20\nmax_replication_slots = 40\nmax_connections = 200");
    let path = server.data().join("pg_hba.conf");
    let before = std::fs::read_to_string(&path).expect("pg_hba.conf");
    let rule = "host all +locked 127.0.0.1/32 scram-sha-256\nhost replication +locked 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(&path, format!("{rule}{before}")).expect("pg_hba.conf");
    server.run("postgres", "CREATE ROLE locked");
    server.run("postgres", "SELECT pg_reload_conf()");
    Arc::new(server)
}

/// Makes a database as it was when it was made: making another one takes much longer than a case.
pub(crate) async fn clean(base: &Base) -> Result<()> {
    let client = connected(base).await?;
    let (slot, name) = (base.slot(), base.db.name());
    let wait = format!(
        "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '{slot}' AND active"
    );
    client.run("cleaning", &wait).await?;
    let all = format!(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}';
         DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public; ALTER DATABASE {name} RESET ALL;
         DO $$ DECLARE one text; BEGIN
            FOR one IN SELECT quote_ident(pubname) FROM pg_publication LOOP EXECUTE 'DROP PUBLICATION ' || one; END LOOP;
            FOR one IN SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('public', 'information_schema')
                LOOP EXECUTE 'DROP SCHEMA ' || one || ' CASCADE'; END LOOP;
            FOR one IN SELECT quote_ident(rolname) FROM pg_roles WHERE rolname = 'role_{name}'
                LOOP EXECUTE 'DROP OWNED BY ' || one; EXECUTE 'DROP ROLE ' || one; END LOOP;
            PERFORM pg_replication_origin_drop(roname) FROM pg_replication_origin WHERE roname = '{name}';
            GRANT CONNECT, TEMPORARY ON DATABASE {name} TO public;
         END $$"
    );
    for part in all.splitn(2, ';') {
        client.run("cleaning", part).await?;
    }
    Ok(())
}
