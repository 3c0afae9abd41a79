//! The triggers on a table: their text, and what stands there of them.
//!
//! They write keys and nothing else, and writing too many is harmless, since the row itself is read later. `AFTER` triggers tell what
//! happened. `BEFORE` triggers tell what is about to be pushed out: `INSERT OR REPLACE` and its like delete rows that share anything unique
//! with the new one, and SQLite fires no trigger for them (unless the writer asks for it), so a row with *another* key would be gone without a word.

use longshore_sdk::Result;
use rusqlite::{Connection, Row};

use crate::database::failed;
use crate::identifier::quoted;
use crate::log::Names;
use crate::plan::{KeyPart, Plan};
use crate::table::{Rows, Unique, UniqueOf, UniquePart};

/// A trigger of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub(crate) name: String,
    pub(crate) sql: String,
}

/// All triggers of one table, as they should be.
#[derive(Debug)]
pub(crate) struct Triggers {
    /// Without one of these, changes are missed.
    after: Vec<Trigger>,
    before: Vec<Trigger>,
    /// What the `BEFORE` triggers look for.
    pushouts: Vec<String>,
}

/// What stands on a table of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Nothing,
    /// All that is needed.
    Whole {
        watch: i64,
    },
    /// Something became unique since they were made, and rows that are pushed out because of it are not noted.
    Late {
        watch: i64,
    },
    /// Some are missing or were altered.
    Broken,
}

impl Triggers {
    /// What table and key ask for. `watch` is the number under which they write.
    pub(crate) fn of(names: &Names, watch: i64, plan: &Plan) -> Triggers {
        let maker = Maker { names, watch, plan };
        let (new, old) = (maker.note("NEW."), maker.note("OLD."));
        let is_same = |part: &KeyPart| {
            let (old, new) = (plan.key_sql(*part, "OLD."), plan.key_sql(*part, "NEW."));
            format!("{old} COLLATE BINARY IS {new}")
        };
        let same: Vec<String> = plan.key.iter().map(is_same).collect();
        let moved = format!("{}; {} WHERE NOT ({})", new, maker.select("OLD."), same.join(" AND "));
        let after = vec![
            maker.trigger("ai", "AFTER INSERT", &new),
            maker.trigger("au", "AFTER UPDATE", &moved),
            maker.trigger("ad", "AFTER DELETE", &old),
        ];
        let pushouts = pushouts(plan);
        let before = match pushouts.is_empty() {
            true => Vec::new(),
            false => {
                let others = match &plan.table.rows {
                    Rows::Id { name, .. } => format!(" AND {name} IS NOT OLD.{name}"),
                    Rows::Primary(_) => String::new(),
                };
                let note = |and: &str| {
                    let of = |condition: &String| format!("{} WHERE {condition}{and}", maker.select_rows());
                    pushouts.iter().map(of).collect::<Vec<_>>().join("; ")
                };
                vec![
                    maker.trigger("bi", "BEFORE INSERT", &note("")),
                    maker.trigger("bu", "BEFORE UPDATE", &note(&others)),
                ]
            }
        };
        Triggers { after, before, pushouts }
    }

    /// Makes them; those of the same names must be gone.
    pub(crate) fn create(&self, connection: &Connection) -> Result<()> {
        for trigger in self.after.iter().chain(&self.before) {
            let made = connection.execute_batch(&trigger.sql);
            made.map_err(|error| failed(&format!("making the trigger {}", trigger.name), error))?;
        }
        Ok(())
    }

    fn standing(&self, watch: i64, found: &[Trigger]) -> Standing {
        if !self.after.iter().all(|wanted| found.contains(wanted)) {
            return Standing::Broken;
        }
        let sees_all = |wanted: &Trigger| {
            let there = found.iter().find(|there| there.name == wanted.name);
            there.is_some_and(|there| self.pushouts.iter().all(|condition| there.sql.contains(condition.as_str())))
        };
        if self.before.iter().all(sees_all) { Standing::Whole { watch } } else { Standing::Late { watch } }
    }
}

/// What of ours stands on the plan's table.
pub(crate) fn standing(connection: &Connection, names: &Names, plan: &Plan) -> Result<Standing> {
    let found = on_table(connection, names, &plan.table.name)?;
    let mut watches = found.iter().map(|trigger| names.watch_of(&trigger.name));
    let Some(first) = watches.next() else { return Ok(Standing::Nothing) };
    Ok(match first {
        Some(watch) if watches.all(|other| other == first) => Triggers::of(names, watch, plan).standing(watch, &found),
        Some(_) | None => Standing::Broken,
    })
}

/// Drops what of ours stands on a table.
pub(crate) fn drop_from(connection: &Connection, names: &Names, table: &str) -> Result<()> {
    on_table(connection, names, table)?.iter().try_for_each(|trigger| drop_trigger(connection, &trigger.name))
}

/// Drops all of ours that stand on other tables; says on which.
pub(crate) fn drop_others(connection: &Connection, names: &Names, tables: &[&str]) -> Result<Vec<String>> {
    let list = "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'trigger' AND name GLOB ? ORDER BY tbl_name";
    let read = || -> rusqlite::Result<Vec<(String, String)>> {
        let mut select = connection.prepare(list)?;
        select.query_map([names.triggers_glob()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    };
    let all = read().map_err(|error| failed("listing triggers", error))?;
    let mut dropped = Vec::new();
    for (name, table) in all.into_iter().filter(|(_, table)| !tables.contains(&table.as_str())) {
        drop_trigger(connection, &name)?;
        if dropped.last() != Some(&table) {
            dropped.push(table);
        }
    }
    Ok(dropped)
}

fn drop_trigger(connection: &Connection, name: &str) -> Result<()> {
    let dropped = connection.execute_batch(&format!("DROP TRIGGER {}", quoted(name)));
    dropped.map_err(|error| failed(&format!("dropping the trigger {name}"), error))
}

fn on_table(connection: &Connection, names: &Names, table: &str) -> Result<Vec<Trigger>> {
    let list = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name GLOB ?";
    let trigger = |row: &Row<'_>| Ok(Trigger { name: row.get(0)?, sql: row.get(1)? });
    let read = || -> rusqlite::Result<Vec<Trigger>> {
        connection.prepare_cached(list)?.query_map([table, &names.triggers_glob()], trigger)?.collect()
    };
    read().map_err(|error| failed(&format!("looking at the triggers of {table:?}"), error))
}

struct Maker<'a> {
    names: &'a Names,
    watch: i64,
    plan: &'a Plan,
}

impl Maker<'_> {
    fn trigger(&self, kind: &str, when: &str, body: &str) -> Trigger {
        let name = self.names.trigger(self.watch, kind);
        let table = quoted(&self.plan.table.name);
        let sql = format!("CREATE TRIGGER {} {when} ON {table} BEGIN {body}; END", quoted(&name));
        Trigger { name, sql }
    }

    fn into(&self) -> String {
        let columns: Vec<String> = (1..=self.plan.key.len()).map(|place| format!("k{place}")).collect();
        format!("INSERT INTO {} (watch, {})", quoted(&self.names.log), columns.join(", "))
    }

    fn key(&self, prefix: &str) -> String {
        self.plan.key.iter().map(|part| self.plan.key_sql(*part, prefix)).collect::<Vec<_>>().join(", ")
    }

    fn note(&self, prefix: &str) -> String {
        format!("{} VALUES ({}, {})", self.into(), self.watch, self.key(prefix))
    }

    fn select(&self, prefix: &str) -> String {
        format!("{} SELECT {}, {}", self.into(), self.watch, self.key(prefix))
    }

    fn select_rows(&self) -> String {
        format!("{} FROM {}", self.select(""), quoted(&self.plan.table.name))
    }
}

/// Conditions for rows that a new one may push out and whose key is not that of the new one, which is noted anyway.
fn pushouts(plan: &Plan) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Rows::Id { name, alias } = &plan.table.rows {
        let is_rowid = |part: &KeyPart| match part {
            KeyPart::Rowid => true,
            KeyPart::Column(column) => Some(*column) == *alias,
        };
        if !plan.key.iter().all(is_rowid) {
            conditions.push(format!("{name} = NEW.{name}"));
        }
    }
    let others = plan.table.uniques.iter().filter(|unique| !holds_the_key(unique, plan));
    conditions.extend(others.map(|unique| shares(unique, plan)));
    conditions
}

/// Rows that share this share the key, to the byte.
fn holds_the_key(unique: &Unique, plan: &Plan) -> bool {
    plan.key.iter().all(|key| match key {
        KeyPart::Rowid => false,
        KeyPart::Column(key) => unique
            .parts
            .iter()
            .any(|part| part.of == UniqueOf::Column(*key) && part.collation.eq_ignore_ascii_case("binary")),
    })
}

fn shares(unique: &Unique, plan: &Plan) -> String {
    let parts = unique.parts.iter().map(|part| shares_part(part, plan));
    // The line break ends a comment in a text that is not ours.
    let filter = unique.filter.iter().map(|filter| format!("({filter}\n)"));
    parts.chain(filter).collect::<Vec<_>>().join(" AND ")
}

fn shares_part(part: &UniquePart, plan: &Plan) -> String {
    let collation = quoted(&part.collation);
    match &part.of {
        UniqueOf::Column(column) => {
            let column = &plan.table.columns[*column];
            let name = quoted(&column.name);
            // NOT NULL ON CONFLICT REPLACE puts the default there, after this has run.
            let new = match column.default.as_ref().filter(|_| column.not_null) {
                Some(default) => format!("ifnull(NEW.{name}, ({default}\n))"),
                None => format!("NEW.{name}"),
            };
            format!("{name} COLLATE {collation} = {new}")
        }
        UniqueOf::Expression(text) => {
            let all = plan.table.columns.iter().map(|column| quoted(&column.name));
            let new: Vec<String> = all.map(|name| format!("NEW.{name} AS {name}")).collect();
            format!("({text}\n) COLLATE {collation} = (SELECT {text}\n FROM (SELECT {}))", new.join(", "))
        }
    }
}
