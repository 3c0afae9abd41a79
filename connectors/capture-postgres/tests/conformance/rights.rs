//! What the user of the capture may do, and what it is told when that is not enough.

use longshore_sdk::ErrorKind;

use crate::case::{Case, Role, case};

const OWN: Role = Role { password: None, name: None, database: None };
const T: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', {large} FROM generate_series(1, 4) i";
const CHANGES: &[&str] = &["UPDATE t SET v = 'b'", "UPDATE t SET id = id + 10"];

/// The table is there, and a role.
macro_rules! rights {
    ($grants:literal) => {
        concat!(
            "CREATE TABLE t (id int PRIMARY KEY, v text, big text); INSERT INTO t SELECT i, 'a', {large} FROM generate_series(1, 4) i; ",
            $grants
        )
    };
}
const ENOUGH: &str = rights!(
    "CREATE ROLE {role} LOGIN REPLICATION; GRANT SELECT ON t TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root)"
);
const LOCKED: &str = rights!(
    "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'right' IN ROLE locked; GRANT SELECT ON t TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root)"
);

const fn refused(name: &'static str, before: &'static str) -> Case {
    case(name, before, &[]).by(OWN).refused("postgres.permission")
}

pub(crate) const CASES: &[Case] = &[
    case("REPLICATION, SELECT and a publication that is made", ENOUGH, CHANGES).by(OWN),
    case("the owner, with CREATE on the database", rights!("CREATE ROLE {role} LOGIN REPLICATION; ALTER TABLE t OWNER TO {role}; GRANT CREATE ON DATABASE {db} TO {role}"), CHANGES).by(OWN),
    case("pg_read_all_data", rights!("CREATE ROLE {role} LOGIN REPLICATION; GRANT pg_read_all_data TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root)"), CHANGES).by(OWN),
    case("a password", LOCKED, CHANGES).by(Role { password: Some("right"), name: None, database: None }),
    case("a wrong password", LOCKED, &[]).by(Role { password: Some("wrong"), name: None, database: None }).refused("postgres.login"),
    case("no password", LOCKED, &[]).by(OWN).refused("postgres.login"),
    case("a password that changed", LOCKED, &["ALTER ROLE {role} PASSWORD 'other'"]).by(Role { password: Some("right"), name: None, database: None }).refused("postgres.login"),
    case("a user that is not there", T, &[]).by(OWN).refused("postgres.login"),
    case("a user that may not log in", rights!("CREATE ROLE {role} REPLICATION"), &[]).by(OWN).refused("postgres.login"),
    case("a database that is not there", ENOUGH, &[]).by(Role { password: None, name: None, database: Some("nowhere") }).refused("postgres.database"),
    refused("no CONNECT", rights!("CREATE ROLE {role} LOGIN REPLICATION; REVOKE CONNECT ON DATABASE {db} FROM public")),
    refused("no SELECT", rights!("CREATE ROLE {role} LOGIN REPLICATION")),
    refused("SELECT on each column, and not on the table, which cannot be locked then", rights!("CREATE ROLE {role} LOGIN REPLICATION; GRANT SELECT (id, v, big) ON t TO {role}")),
    refused("no USAGE on the schema", "CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY); CREATE ROLE {role} LOGIN REPLICATION; GRANT SELECT ON s.t TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY s.t WITH (publish_via_partition_root)").of(&[("s", "t", &["/id"])]),
    refused("no REPLICATION", rights!("CREATE ROLE {role} LOGIN; GRANT SELECT ON t TO {role}")),
    refused("no CREATE on the database", rights!("CREATE ROLE {role} LOGIN REPLICATION; ALTER TABLE t OWNER TO {role}")),
    refused("not the owner of the table", rights!("CREATE ROLE {role} LOGIN REPLICATION; GRANT SELECT ON t TO {role}; GRANT CREATE ON DATABASE {db} TO {role}")),
    refused("row security", rights!("CREATE ROLE {role} LOGIN REPLICATION; GRANT SELECT ON t TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id > 2)")),
    refused("row security forced on the owner", rights!("CREATE ROLE {role} LOGIN REPLICATION; ALTER TABLE t OWNER TO {role}; GRANT CREATE ON DATABASE {db} TO {role}; ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")),
    case("row security with BYPASSRLS", rights!("CREATE ROLE {role} LOGIN REPLICATION BYPASSRLS; GRANT SELECT ON t TO {role}; CREATE PUBLICATION longshore_test FOR TABLE ONLY t WITH (publish_via_partition_root); ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id > 2)"), CHANGES).by(OWN),
    case("row security that comes later, and a large value to look up", ENOUGH, &["ALTER TABLE t ENABLE ROW LEVEL SECURITY", "UPDATE t SET id = id + 10"]).by(OWN).refused("postgres.permission"),
    case("SELECT is revoked", ENOUGH, &["REVOKE SELECT ON t FROM {role}"]).by(OWN).refused("postgres.permission"),
    case("REPLICATION is taken away", ENOUGH, &["ALTER ROLE {role} NOREPLICATION"]).by(OWN).refused("postgres.permission"),
    case("too many connections", ENOUGH, &["ALTER ROLE {role} CONNECTION LIMIT 0"]).by(OWN).stops(ErrorKind::Unavailable, "postgres.server"),
];
