//! Messages as a server sent them, and bytes that nobody sent.

use proptest::prelude::*;

use super::*;
use crate::rows::Cell;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text)
}

fn row<const N: usize>(cells: [Cell<'_>; N]) -> Tuple {
    cells.into_iter().collect()
}

#[track_caller]
fn check(bytes: &str, wanted: Message) {
    assert_eq!(parse(&hex(bytes)).unwrap(), wanted);
    let whole = hex(bytes);
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).is_err(), "cut to {length} of {} bytes", whole.len());
    }
    let mut longer = whole;
    longer.push(0);
    assert!(parse(&longer).is_err(), "one byte more");
}

#[test]
fn transactions_begin_and_end() {
    check(
        "42 0000000001554458 0002b5e2f8d7e6c0 000002e1",
        Message::Begin(Begin { commit: Lsn(0x0155_4458), committed_micros: 0x0002_b5e2_f8d7_e6c0, xid: 737 }),
    );
    check(
        "43 00 0000000001554458 0000000001554488 0002b5e2f8d7e6c0",
        Message::Commit(Commit { end: Lsn(0x0155_4488) }),
    );
    check("4f 0000000000000010 6e6f646500", Message::Origin);
    check("4d 01 0000000000000010 6100 00000002 6869", Message::Logical);
}

#[test]
fn tables_tell_their_columns() {
    let column =
        |is_identity, name: &str, type_oid, typmod| Column { is_identity, name: name.to_owned(), type_oid, typmod };
    check(
        "52 00004001 7075626c696300 7400 64 0002  01 696400 00000014 ffffffff  00 7600 00000413 00000018",
        Message::Relation(Relation {
            oid: 16385,
            schema: "public".to_owned(),
            name: "t".to_owned(),
            identity: b'd',
            columns: vec![column(true, "id", 20, -1), column(false, "v", 1043, 24)],
        }),
    );
    let of_the_system = parse(&hex("52 00004001 00 7400 64 0000")).unwrap();
    assert!(matches!(of_the_system, Message::Relation(relation) if relation.schema == "pg_catalog"));
    check("59 00004002 7075626c696300 6d6f6f6400", Message::Type);
}

#[test]
fn rows_come_with_what_they_were() {
    let relation = 16385;
    check(
        "49 00004001 4e 0003 74 00000001 37 6e 74 00000000",
        Message::Insert { relation, new: row([text("7"), Cell::Null, text("")]) },
    );
    check(
        "55 00004001 4e 0002 74 00000001 37 75",
        Message::Update { relation, old: None, new: row([text("7"), Cell::Unchanged]) },
    );
    check(
        "55 00004001 4b 0002 74 00000001 37 6e 4e 0002 74 00000001 38 75",
        Message::Update {
            relation,
            old: Some(Old::Key(row([text("7"), Cell::Null]))),
            new: row([text("8"), Cell::Unchanged]),
        },
    );
    check(
        "55 00004001 4f 0001 74 00000001 37 4e 0001 74 00000001 38",
        Message::Update { relation, old: Some(Old::Row(row([text("7")]))), new: row([text("8")]) },
    );
    check("44 00004001 4b 0001 74 00000001 37", Message::Delete { relation, old: Old::Key(row([text("7")])) });
    check("44 00004001 4f 0001 74 00000001 37", Message::Delete { relation, old: Old::Row(row([text("7")])) });
    check("54 00000002 00 00004001 00004002", Message::Truncate { relations: vec![16385, 16386] });
}

#[test]
fn a_value_that_is_no_text_is_told_by_its_place() {
    assert_eq!(parse(&hex("49 00004001 4e 0003 6e 74 00000001 c3 74 00000001 a9")), Err(Fault::NoText(1)));
}

#[test]
fn what_is_not_known_is_refused() {
    for bytes in ["", "5a", "49 00004001 4b 0000", "49 00004001 4e 0001 62 00000001 37", "44 00004001 4e 0000"] {
        assert!(parse(&hex(bytes)).is_err(), "{bytes}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(tag in proptest::sample::select(b"BCORYIUDTM?".to_vec()), rest in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = vec![tag];
        bytes.extend(rest);
        drop(parse(&bytes));
    }
}

/// A message that is read is a whole one: with a byte more or less it is none.
#[test]
fn a_fuzzed_message_is_refused_or_whole() {
    let fuzz = longshore_fuzz::Fuzz::new("pgoutput", env!("CARGO_MANIFEST_DIR"))
        .input(hex("42 0000000001554458 0002b5e2f8d7e6c0 000002e1"))
        .input(hex("52 00004001 7075626c696300 7400 64 0002  01 696400 00000014 ffffffff  00 7600 00000413 00000018"))
        .input(hex("49 00004001 4e 0003 74 00000001 31 6e 75"))
        .input(hex("55 00004001 4f 0001 74 00000001 31 4e 0001 62 00000002 0102"))
        .input(hex("44 00004001 4b 0001 74 00000001 31"))
        .input(hex("54 00000002 03 00004001 00004002"))
        .input(hex("4d 01 0000000000000010 6100 00000002 6869"))
        .words(["B", "C", "O", "R", "Y", "I", "U", "D", "T", "M", "N", "K", "t", "n", "u", "b", "\0"]);
    fuzz.run(|bytes| match parse(bytes) {
        Ok(message) => {
            assert!(parse(&bytes[..bytes.len() - 1]).is_err(), "one byte less");
            assert!(parse(&[bytes, &[0]].concat()).is_err(), "one byte more");
            format!("{:?} {}", std::mem::discriminant(&message), bytes.len().ilog2())
        }
        Err(fault) => format!("{fault:?}").chars().filter(|c| !c.is_ascii_digit()).take(60).collect(),
    });
}
