//! What an author is asked, with config and resources as the author's own types, and what an author answers. Parsed once, here.

use longshore_proto::materialize::message::{
    self, Constraint, FieldConstraint, Guarantee, Loads, Modes, ValidatedBinding,
};
use longshore_proto::name::StateKey;
use longshore_proto::session::{self, Finding, Owner, Recorded};
use serde::de::DeserializeOwned;

use super::Materialize;
use crate::binding::{self, Bound, Proposed};
use crate::{Error, Result, config, schema};

/// What a materialization is. The schemas, the guarantee and the protocol version are added by the SDK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaterializeSpec {
    /// Such as `materialize-sqlite`.
    pub name: &'static str,
    /// Of the connector.
    pub version: &'static str,
    /// JSON pointers into a resource whose values make the resource path: what stays the same when a binding moves or is edited.
    pub resource_path_pointers: &'static [&'static str],
    /// Where to read more.
    pub documentation_url: &'static str,
    /// It takes deletes in standard bindings.
    pub deletes: bool,
    /// Field names it keeps for itself: the runtime gives no field such a name.
    pub reserved_field_names: &'static [&'static str],
    /// Greatest length of a name, in bytes.
    pub identifier_max_bytes: Option<u32>,
    /// Names that differ only in case are the same.
    pub identifier_case_insensitive: bool,
    /// Characters that may not stand in a name.
    pub identifier_forbidden_characters: &'static str,
    /// Its delta bindings keep `_meta` where nobody chose fields: a delete is a row there, which `_meta` tells.
    pub keeps_meta: bool,
    /// It can read all rows of a standard binding ([`Materialize::verify`]).
    pub verifies: bool,
}

impl MaterializeSpec {
    /// One that takes deletes and any name, and has no more to say.
    pub fn new(name: &'static str, version: &'static str, resource_path_pointers: &'static [&'static str]) -> Self {
        Self {
            name,
            version,
            resource_path_pointers,
            documentation_url: "",
            deletes: true,
            reserved_field_names: &[],
            identifier_max_bytes: None,
            identifier_case_insensitive: false,
            identifier_forbidden_characters: "",
            keeps_meta: false,
            verifies: false,
        }
    }
}

/// Asks whether what the user wrote will work; read-only.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct ValidateRequest<C, R> {
    pub owner: Owner,
    pub config: C,
    pub bindings: Vec<Proposed<R>>,
}

/// Answer to [`ValidateRequest`].
#[derive(Debug, Default)]
pub struct Validation {
    /// One for each binding asked, in order.
    pub bindings: Vec<Accepts>,
    /// What is wrong or worth knowing.
    pub findings: Vec<Finding>,
    /// What the destination remembers of this task, where it exists and can tell.
    pub recorded: Option<Recorded>,
}

impl Validation {
    /// So many bindings of these kinds are as they should be; `recorded` is what the destination remembers of this task.
    pub fn good(modes: Modes, bindings: usize, recorded: Option<Recorded>) -> Self {
        Self { bindings: vec![Accepts::new(modes); bindings], findings: Vec::new(), recorded }
    }
}

/// What the destination says of one binding.
#[derive(Debug, Clone)]
pub struct Accepts {
    /// What kinds of binding it can be.
    pub modes: Modes,
    /// Each row must say whether it exists, so the runtime loads every key.
    pub wants_existence: bool,
    /// What it says of the fields it cares about.
    pub fields: Vec<FieldConstraint>,
    /// What only one task may write, by a name that is the same however a config spells it (see [`crate::place::one_name`]); empty:
    /// nothing, or it cannot tell.
    pub claim: String,
    /// What a Load of whole rows gets back. With [`Loads::Nothing`] collections that are reduced by more than the last write are refused.
    pub loads: Loads,
    /// Why no more; may be empty.
    pub loads_reason: String,
    /// It takes partial updates ([`Row::partial_update`](super::Row)), so that a collection whose fields are merged, each with its last
    /// value, needs no Loads.
    pub partial_updates: bool,
    /// It takes [`truncate`](super::TransactionalSession::truncate), as a standard binding.
    pub truncates: bool,
    /// It takes [`backfill`](super::TransactionalSession::backfill), as a standard binding; else a full refresh is stored over what is there.
    pub backfills: bool,
}

impl Accepts {
    /// A binding of these kinds, and nothing to say of its fields.
    pub fn new(modes: Modes) -> Self {
        Self {
            modes,
            wants_existence: false,
            fields: Vec::new(),
            claim: String::new(),
            loads: Loads::Nothing,
            loads_reason: String::new(),
            partial_updates: false,
            truncates: false,
            backfills: false,
        }
    }

    /// What is there already does not fit this binding, and would if it were started over.
    #[must_use]
    pub fn only_fresh(mut self, reason: String) -> Self {
        self.fields.push(FieldConstraint { pointer: String::new(), constraint: Constraint::Incompatible, reason });
        self
    }
}

/// Asks to make the destination fit the bindings. May be repeated, and then changes nothing more.
#[derive(Debug)]
pub struct ApplyRequest<C, R> {
    /// Whose call it is: compared with the fence, which is not raised.
    pub owner: Owner,
    /// The task's config.
    pub config: C,
    /// As they should be.
    pub bindings: Vec<Bound<R>>,
    /// As last applied; their resources may be older than this connector.
    pub previous: Vec<session::Binding>,
    /// Bindings whose resources are dropped and made again.
    pub fresh: Vec<StateKey>,
    /// The user says that this installation now owns the destination: write it into the fence, keep the rows.
    pub take_over: bool,
    /// Say what would be done and do nothing.
    pub dry_run: bool,
    /// With no bindings: clean up what was made.
    pub remove: bool,
}

impl<C, R> ApplyRequest<C, R> {
    /// This binding's resource is dropped and made again.
    pub fn is_fresh(&self, binding: &Bound<R>) -> bool {
        self.fresh.contains(&binding.state_key)
    }

    /// All bindings are made again, so nothing that another installation wrote stays.
    pub fn all_fresh(&self) -> bool {
        !self.bindings.is_empty() && self.bindings.iter().all(|binding| self.is_fresh(binding))
    }
}

/// Opens a session.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct OpenRequest<C, R> {
    pub owner: Owner,
    pub config: C,
    pub bindings: Vec<Bound<R>>,
}

pub(crate) fn spec<S: Materialize>(sink: &S, guarantee: Guarantee) -> message::Spec {
    let spec = sink.spec();
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    message::Spec {
        name: spec.name.to_owned(),
        version: spec.version.to_owned(),
        config_schema_json: schema::json::<S::Config>(),
        resource_schema_json: schema::json::<S::Resource>(),
        resource_path_pointers: strings(spec.resource_path_pointers),
        documentation_url: spec.documentation_url.to_owned(),
        guarantee,
        deletes: spec.deletes,
        reserved_field_names: strings(spec.reserved_field_names),
        identifier_max_bytes: spec.identifier_max_bytes,
        identifier_case_insensitive: spec.identifier_case_insensitive,
        identifier_forbidden_characters: spec.identifier_forbidden_characters.to_owned(),
        keeps_meta: spec.keeps_meta,
        verifies: spec.verifies,
    }
}

pub(crate) async fn validate<S: Materialize>(sink: &S, asked: message::Validate) -> Result<message::Validated> {
    let pointers: Vec<String> =
        sink.spec().resource_path_pointers.iter().map(|pointer| (*pointer).to_owned()).collect();
    let checked = binding::checked::<S::Config, S::Resource>(&asked.config_json, asked.bindings, &pointers);
    let (paths, mut findings) = (checked.resource_paths, checked.findings);
    let answer = match checked.typed {
        Some((config, bindings)) => sink.validate(ValidateRequest { owner: asked.owner, config, bindings }).await?,
        None => Validation { bindings: vec![Accepts::new(Modes::Both); paths.len()], ..Validation::default() },
    };
    if answer.bindings.len() != paths.len() {
        let (expected, got) = (paths.len(), answer.bindings.len());
        return Err(Error::internal(
            "sdk.validate",
            format!("validate: expected {expected} answers, one a binding, got {got}"),
        ));
    }
    findings.extend(answer.findings);
    let bindings = paths.into_iter().zip(answer.bindings).map(|(resource_path, accepts)| ValidatedBinding {
        resource_path,
        modes: accepts.modes,
        wants_existence: accepts.wants_existence,
        fields: accepts.fields,
        claim: accepts.claim,
        loads: accepts.loads,
        loads_reason: accepts.loads_reason,
        partial_updates: accepts.partial_updates,
        truncates: accepts.truncates,
        backfills: accepts.backfills,
    });
    Ok(message::Validated { bindings: bindings.collect(), findings, recorded: answer.recorded })
}

pub(crate) fn apply<C: DeserializeOwned, R: DeserializeOwned>(asked: message::Apply) -> Result<ApplyRequest<C, R>> {
    Ok(ApplyRequest {
        owner: asked.owner,
        config: config::parse(&asked.config_json)?,
        bindings: binding::bound(asked.bindings)?,
        previous: asked.previous,
        fresh: asked.fresh,
        take_over: asked.take_over,
        dry_run: asked.dry_run,
        remove: asked.remove,
    })
}

pub(crate) fn open<C: DeserializeOwned, R: DeserializeOwned>(asked: message::Open) -> Result<OpenRequest<C, R>> {
    let message::Open { owner, config_json, bindings, .. } = asked;
    Ok(OpenRequest { owner, config: config::parse(&config_json)?, bindings: binding::bound(bindings)? })
}
