//! What a case is: a name, SQL, and what should come of it. How it is run is in `run.rs`.
//!
//! In SQL `{large}` is a text that lies outside of its row, `{slot}`, `{db}` and `{role}` are names of the case's own. Each string of `during` is
//! sent by itself, so it is a transaction of its own if it says nothing else; `;;` parts `before` so. One that begins with `other:` is sent on a
//! second connection.

use longshore_sdk::ErrorKind;

/// When the steps of a case happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// While no session is open.
    Between,
    /// The same, and the next session reads it as a backlog, in slices of a few changes.
    Backlog,
    /// One after each transaction of the session that walks, row by row.
    Walking,
}

const NEVER_WALKING: &[Moment] = &[Moment::Between, Moment::Backlog];

/// Schema, table, key of its collection.
pub(crate) type Bound = (&'static str, &'static str, &'static [&'static str]);

/// A row of the list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// The database before the task is applied.
    pub(crate) before: &'static str,
    /// What happens then.
    pub(crate) during: &'static [&'static str],
    pub(crate) expect: Expect,
    pub(crate) tables: &'static [Bound],
    /// The task is applied again before it goes on, with these tables, too.
    pub(crate) later: Option<&'static [Bound]>,
    /// A session after each step, and not one after all.
    pub(crate) by_steps: bool,
    pub(crate) moments: &'static [Moment],
    pub(crate) truncate: &'static str,
    /// A transaction has checkpoints inside.
    pub(crate) split: bool,
    pub(crate) role: Option<Role>,
    /// A type and literals of it: they are inserted before and during, alone and in arrays.
    pub(crate) values: Option<(&'static str, &'static [&'static str])>,
}

/// What should come of it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// The documents, folded by key, are the tables as the server prints them.
    Same,
    /// It stops, and so does every attempt after it.
    Stops(ErrorKind, &'static str),
    /// These documents come behind those of the walk; of `_meta` only the operation is written.
    Documents(&'static [&'static str]),
}

/// Who captures, if not the superuser.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Role {
    pub(crate) password: Option<&'static str>,
    /// Instead of the case's own.
    pub(crate) name: Option<&'static str>,
    pub(crate) database: Option<&'static str>,
}

const T: &[Bound] = &[("public", "t", &["/id"])];

/// Of table `public.t` with key `id`, compared with the server.
pub(crate) const fn case(name: &'static str, before: &'static str, during: &'static [&'static str]) -> Case {
    Case {
        name,
        before,
        during,
        expect: Expect::Same,
        tables: T,
        later: None,
        by_steps: false,
        moments: &[Moment::Between, Moment::Backlog, Moment::Walking],
        truncate: "propagate",
        split: false,
        role: None,
        values: None,
    }
}

/// Of all these values of a type: walked, inserted, updated, and in arrays.
pub(crate) const fn values(name: &'static str, ty: &'static str, literals: &'static [&'static str]) -> Case {
    let mut case = case(name, "", &[]);
    case.values = Some((ty, literals));
    case.moments = NEVER_WALKING;
    case
}

impl Case {
    pub(crate) const fn of(mut self, tables: &'static [Bound]) -> Case {
        self.tables = tables;
        self
    }

    pub(crate) const fn later(mut self, tables: &'static [Bound]) -> Case {
        self.later = Some(tables);
        self.moments = NEVER_WALKING;
        self
    }

    pub(crate) const fn by_steps(mut self) -> Case {
        self.by_steps = true;
        self
    }

    pub(crate) const fn never_walking(mut self) -> Case {
        self.moments = NEVER_WALKING;
        self
    }

    pub(crate) const fn walking(mut self) -> Case {
        self.moments = &[Moment::Walking];
        self
    }

    pub(crate) const fn truncate(mut self, policy: &'static str) -> Case {
        self.truncate = policy;
        self
    }

    pub(crate) const fn ignoring_truncate(self) -> Case {
        self.truncate("ignore")
    }

    pub(crate) const fn split(mut self) -> Case {
        self.split = true;
        self
    }

    /// With types or more in the database, for [`values`].
    pub(crate) const fn with(mut self, before: &'static str) -> Case {
        self.before = before;
        self
    }

    pub(crate) const fn by(mut self, role: Role) -> Case {
        self.role = Some(role);
        self
    }

    pub(crate) const fn stops(mut self, kind: ErrorKind, code: &'static str) -> Case {
        self.expect = Expect::Stops(kind, code);
        self.moments = NEVER_WALKING;
        self
    }

    pub(crate) const fn refused(self, code: &'static str) -> Case {
        self.stops(ErrorKind::Config, code)
    }

    pub(crate) const fn documents(mut self, documents: &'static [&'static str]) -> Case {
        self.expect = Expect::Documents(documents);
        self.moments = NEVER_WALKING;
        self
    }
}
