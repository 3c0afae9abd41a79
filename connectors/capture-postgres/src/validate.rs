//! Whether what the user wrote will work, found out by looking and changing nothing.

use longshore_postgres::{Client, failed};
use longshore_sdk::binding::Proposed;
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, Result};

use crate::config::{Config, Resource, Settings};
use crate::table::Table;
use crate::types::Types;
use crate::walk;
use crate::watched::check_apart;

/// All that is wrong. A server that cannot be reached just now is nobody's mistake.
pub(crate) async fn validate(config: Config, bindings: &[Proposed<Resource>]) -> Result<Vec<Finding>> {
    let settings = match Settings::new(&config, "") {
        Ok(settings) => settings,
        Err(error) => return Ok(vec![finding::error(error)]),
    };
    let client = match Client::connect(&settings.endpoint).await {
        Ok(client) => client,
        Err(error) => return Ok(vec![finding::mistake(error)?]),
    };
    let mut findings = Vec::new();
    for fault in server_faults(&client).await? {
        findings.push(finding::error(fault));
    }
    let mut types = Types::default();
    let mut tables = Vec::new();
    for (index, binding) in bindings.iter().enumerate() {
        let table = Table::find(&client, &mut types, &binding.resource).await;
        match table.and_then(|table| table.check_for(&binding.collection.key).map(|()| table)) {
            Ok(table) => {
                if let Some(condition) = &binding.resource.condition
                    && let Err(error) = walk::check_condition(&client, &table, condition).await
                {
                    findings.push(finding::mistake(error.at_binding(index))?);
                }
                tables.push(table);
            }
            Err(error) => findings.push(finding::mistake(error.at_binding(index))?),
        }
    }
    if tables.len() == bindings.len()
        && let Err(error) = check_apart(tables.iter())
    {
        findings.push(finding::error(error));
    }
    Ok(findings)
}

/// What of the server stands in the way of reading its log.
pub(crate) async fn server_faults(client: &Client) -> Result<Vec<Error>> {
    let ask = "SELECT current_setting('server_version_num')::int, current_setting('wal_level'), rolsuper OR rolreplication, \
               current_user::text, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user";
    let row = client.query_one(ask, &[]).await.map_err(|error| failed("looking at the server's settings", &error))?;
    let (version, level, may_replicate, user, is_standby): (i32, String, bool, String, bool) =
        (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4));
    let mut faults = Vec::new();
    let mut fault = |code: &str, what: String, suggestion: String| {
        faults.push(
            Error::config(code, format!("capture-postgres looks at the server: {what}"))
                .at_pointer("/url")
                .suggest(suggestion),
        );
    };
    if version < 150_000 {
        let what = format!("expected PostgreSQL 15 or newer, got number {version}");
        fault("postgres.version", what, "upgrade it".to_owned());
    }
    if level != "logical" {
        let what = format!("expected `wal_level` to be logical, got {level}");
        fault("postgres.wal_level", what, "ALTER SYSTEM SET wal_level = logical, and restart the server".to_owned());
    }
    if !may_replicate {
        let what = format!("expected user {user:?} to have the attribute REPLICATION, got none");
        fault("postgres.permission", what, format!("ALTER ROLE {} REPLICATION", longshore_postgres::quoted(&user)));
    }
    if is_standby {
        fault(
            "postgres.standby",
            "expected a primary, got a standby".to_owned(),
            "name the primary in `url`".to_owned(),
        );
    }
    Ok(faults)
}
