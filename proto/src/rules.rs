//! The rules of the protocol by their ids: one line each, printed into PROTOCOL.md and cited by every error that names one.
//!
//! The order of messages (C-1, M-1) is the tables of [`crate::capture::order`] and [`crate::materialize::order`]. A rule is added here
//! first, never renumbered, and kept when it no longer applies.

use std::fmt;

/// One rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Such as `X-3`; the code of a `protocol` error that says it was broken.
    pub id: &'static str,
    /// What it asks.
    pub text: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> String {
        rule.id.to_owned()
    }
}

macro_rules! rules {
    ($list:ident: $($name:ident = $id:literal, $text:literal;)*) => {
        $(#[doc = concat!($id, ": ", $text)] pub const $name: Rule = Rule { id: $id, text: $text };)*
        /// These rules, in the order of their ids.
        pub const $list: &[Rule] = &[$($name),*];
    };
}

rules! { COMMON:
    KNOWN_MESSAGE = "X-1", "A message says what it is: its oneof is set, each enum has a value that this version knows, and none is UNSPECIFIED.";
    BINDING_INDEX = "X-2", "A binding is named by its place in this session's Open (in a unary call: in its request), counted from 0.";
    BATCH_SHAPE = "X-3", "A batch holds at least one document; `count` is the number of `ends`; `ends` ascend strictly, so no document is empty, and the last one is the length of the arena. Its encoding is one that both sides speak: JSON in version 1.";
    DOCUMENT_SIZE = "X-4", "A document is at most 16 MiB.";
    BATCH_SIZE = "X-5", "The documents of a batch are together at most 8 MiB unless it holds exactly one, and at most 1,048,576; keys of a batch are together at most 16 MiB; a message is at most 40 MiB, and every peer takes one of that size.";
    DOCUMENT_JSON = "X-6", "A document is one JSON object (RFC 8259) in UTF-8 on one line: nested at most 127 deep, no object holds a name twice, no escape stands for half a surrogate pair, each number is within the range of a double (its digits are kept as they are, however many), and no line feed or carriage return stands between its tokens.";
    KEY_JSON = "X-7", "A key is one JSON array with a value for each key pointer of the collection: null, a boolean, a number or a string. Absent is null.";
    JSON_BYTES = "X-8", "Config, resources and schemas are JSON objects in UTF-8; no object holds a name twice.";
    STATE_SHAPE = "X-9", "A state is a JSON object for the task, or nothing, and a JSON object for each state key; the keys are unique and ascending; all is at most 16 MiB. A patch holds RFC 7396 merge patches in the same places, and null drops the part; so a state holds no member that is null.";
    NAMES = "X-10", "Names of tasks and collections match `^[a-z0-9][a-z0-9_./-]{0,254}$` and hold no `..`. A state key is the percent-encoded resource path, `.v` and the generation, and fits the resource path beside it; an installation id is 32 lower-case hex digits; a pointer is empty or begins with `/`.";
    OWNER = "X-11", "Each call that acts for a task names its owner: task, installation, an epoch of at least 1 (Validate may come without a session: 0) and the full key range.";
    ANSWERS_IN_ORDER = "X-12", "A list that answers a list has one entry for each asked, in the same order.";
    SPEC = "X-13", "A Spec names the connector, speaks version 1 and JSON, and says which resource fields make the resource path (at least one).";
    PROGRESS = "X-14", "Progress may come from the connector in every state after Unopened until it ends the stream; it restarts the time-out of the state and never moves the machine.";
    STATUS = "X-15", "An error ends the call as a gRPC status whose details hold an ErrorDetail with one of the six kinds. An error status may end a session in any state.";
    TRANSACTION_NUMBER = "X-16", "Transaction numbers are dense for a task and never used again; 0 stands for none.";
    SELECTION = "X-17", "A binding of a materialization says which values of a document are kept: each field has a JSON pointer and a name, names are not empty and stand once, the document's among them, fields of one pointer have types, none twice, and each part of the key is a field alone. A capture's binding says nothing of it.";
    VERIFY = "X-18", "Verify changes nothing. It tells each row that is there once, as one moment shows them all: checksums of the 4,096 key ranges and then the end, or the rows of the ranges asked for and the end. The values compared are named once each; ranges ascend.";
}

rules! { CAPTURE:
    PULL_ORDER = "C-1", "The messages of Pull come in the order of the table below.";
    PULL_OPEN = "C-2", "Open comes first and once. An epoch that is not above the highest the connector has seen is refused with `fenced`.";
    CHECKPOINT_ATOMIC = "C-3", "All between two Checkpoints commits with the second one or not at all.";
    ACKNOWLEDGE_OUTSTANDING = "C-4", "Acknowledge counts further checkpoints of this session, at least one, in order, and never more than are outstanding. A source may forget what is acknowledged and nothing else.";
    STATE_ACKNOWLEDGES = "C-5", "The state in Open acknowledges all it covers: the connector tells its source so, again, right after Opened.";
    END_AT_CHECKPOINT = "C-6", "Without Stop the connector ends the stream only at a checkpoint.";
    STOP = "C-7", "After Stop the connector starts nothing new, ends the checkpoint under way or abandons it, and waits for the last Acknowledge and the end of the runtime's stream before it ends its own.";
    SOURCED_SCHEMA_FIRST = "C-8", "SourcedSchema comes before the first document that needs it and is durable with the Checkpoint that covers that document.";
    CAUGHT_UP = "C-9", "caught_up says that all that existed at the source when Open arrived is covered by this and earlier checkpoints of the session; it is sent also when nothing changed, as an empty checkpoint. An endless capture never says it.";
    DISCOVER_ANSWERS = "C-10", "Discover with resources describes exactly these, in order; without, it lists what there is. It reads only.";
    CAPTURE_APPLY = "C-11", "Apply may be repeated and then changes nothing more. The state it returns is durable before it is called again or the task opens.";
}

rules! { MATERIALIZE:
    TRANSACT_ORDER = "M-1", "The messages of Transact come in the order of the table below.";
    TRANSACT_OPEN = "M-2", "Open comes first and once. An epoch that is not above the one the destination holds is refused with `fenced` and names the holder.";
    ACKNOWLEDGE_NUMBER = "M-3", "Acknowledge carries the number of the last transaction that is durable with the runtime: the first of a session that of the adopted checkpoint (0: none yet), each later one that of the Commit before it. It may come again after a crash, and what it applies is applied once.";
    LOADED_AFTER_ACKNOWLEDGED = "M-4", "No Load is answered before Acknowledged.";
    LOAD_ONCE = "M-5", "Each key is loaded at most once in a transaction and answered at most once; a missing row is left out; answers come in any order, all of them before Flushed. Loads are for standard bindings only.";
    FLUSH_NUMBER = "M-6", "Flush carries the number of its transaction, greater than every one before; Commit repeats it.";
    STORE_STANDARD = "M-7", "In a standard binding each key is stored at most once in a transaction, a binding's Stores are together, keys ascend in the order of key encoding version 1, and a key stands beside each document.";
    STORE_DELTA = "M-8", "In a delta binding every document is stored in order, keys repeat, and no keys are sent.";
    STORE_COLUMNS = "M-9", "The side columns of a Store (exists, deletes, replaces, partial_updates) are empty or hold one byte for each document: an Exists value, or 0 or 1.";
    TRUNCATE_FIRST = "M-10", "Truncate and Backfill come before the first Store of the transaction, of a binding each at most once and Truncate first, and only of a standard binding that Validated said takes them.";
    COMMIT_ATOMIC = "M-11", "Committed says that all Stores of the transaction are durable together (transactional: with the checkpoint given; idempotent: staged, and the plan applies them).";
    REJECTED_ENDS = "M-12", "After Rejected the connector reads and drops what was under way, commits nothing of the transaction and ends the stream.";
    MATERIALIZE_APPLY = "M-13", "Apply compares the fence and does not raise it; it may be repeated and then changes nothing more; a pending plan is applied before anything is altered.";
    EXISTS = "M-14", "exists is ABSENT or PRESENT only where it is known; UNKNOWN means: store over what may be there, and a delete of a missing row does nothing.";
    LOADED_WHOLE = "M-15", "Where keys_only is not set, a document in Loaded has the key it is loaded for and holds what Validated said of loads, as it was stored.";
    REJECTED_KEYS = "M-16", "Rejected names keys of documents that were stored in this transaction, each once, with one reason for all or one for each; of a connector that stores at once nothing behind the first of them is stored. The runtime may send the transaction again without the documents of these keys, and they may be among those of a later one.";
    PARTIAL_UPDATES = "M-17", "Where a partial update is said of a document, what belongs to a top-level field that the document does not have stays in a row that is there, and a row that is not there is made of what the document has; it is said only of a binding that Validated said takes it, never beside a delete or replace.";
}
