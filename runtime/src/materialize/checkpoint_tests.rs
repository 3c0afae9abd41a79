//! One text for each checkpoint and extent, and no checkpoint for any other text.

use super::*;

fn place(journal: u8, binding: &str) -> Place {
    Place { journal: JournalId([journal; 16]), binding: StateKey::new(&[binding.to_owned()], 0) }
}

fn at(offset: u64) -> Position {
    Position { offset, chain_crc: u32::try_from(offset).unwrap_or(0).wrapping_mul(0x9e37_79b1) }
}

fn checkpoint() -> Checkpoint {
    let places = [(place(1, "b"), at(7)), (place(1, "a"), at(7)), (place(1, "late"), at(3)), (place(2, "a"), at(7))];
    Checkpoint { installation: InstallationId::from_bytes([5; 16]), transaction: 9, places: places.into() }
}

fn extent() -> Extent {
    let span = Span { from: at(7), to: at(12) };
    Extent {
        transaction: 10,
        spec_version: 2,
        flushed_state: true,
        spans: [(place(1, "a"), span), (place(1, "b"), span)].into(),
    }
}

#[test]
fn a_checkpoint_comes_back_as_it_was_written() {
    let checkpoint = checkpoint();
    assert_eq!(Checkpoint::parse(&checkpoint.encode()).expect("parse"), checkpoint);
    assert_eq!(Extent::parse(&extent().encode()).expect("parse"), extent());
}

#[test]
fn the_text_is_this_and_no_other() {
    let id = |digits: &str| digits.repeat(16);
    let (at, to) = (r#"{"offset":7,"chain":"538453d7"}"#, r#"{"offset":12,"chain":"6a99b44c"}"#);
    let one =
        Checkpoint { places: [(place(1, "a"), self::at(7)), (place(2, "b"), self::at(12))].into(), ..checkpoint() };
    let groups = [
        format!(r#"{{"journal":"{}","at":{at},"bindings":["a.v0"]}}"#, id("01")),
        format!(r#"{{"journal":"{}","at":{to},"bindings":["b.v0"]}}"#, id("02")),
    ];
    let head = format!(r#"{{"format":1,"installation":"{}","transaction":9"#, id("05"));
    assert_eq!(one.encode(), format!(r#"{head},"groups":[{}]}}"#, groups.join(",")));
    let group = format!(r#"{{"journal":"{}","from":{at},"to":{to},"bindings":["a.v0","b.v0"]}}"#, id("01"));
    let head = r#"{"format":1,"transaction":10,"spec_version":2,"flushed_state":true"#;
    assert_eq!(extent().encode(), format!(r#"{head},"groups":[{group}]}}"#));
    assert_eq!(extent().given_up().encode(), head.replace("true", "false") + r#","groups":[]}"#);
}

#[test]
fn bindings_at_equal_positions_are_one_group() {
    let text = String::from_utf8(checkpoint().encode().to_vec()).expect("text");
    assert_eq!(text.matches("\"at\"").count(), 3, "{text}");
    assert!(text.contains(r#""bindings":["a.v0","b.v0"]"#), "{text}");
}

#[test]
fn garbage_is_refused_whatever_it_looks_like() {
    let good = String::from_utf8(checkpoint().encode().to_vec()).expect("text");
    let garbage = [
        String::new(),
        "{}".to_owned(),
        "nonsense".to_owned(),
        good[..good.len() - 1].to_owned(),
        format!("{good} "),
        good.replacen("\"format\":1", "\"format\":2", 1),
        good.replacen("\"transaction\":9", "\"transaction\":9,\"more\":1", 1),
        good.replacen("a.v0", "a.v00", 1),
        good.replacen("a.v0\",\"b.v0", "b.v0\",\"a.v0", 1),
        good.replacen("0505", "05zz", 1),
        good.replacen("\"chain\":\"", "\"chain\":\"+", 1),
    ];
    for text in garbage {
        let error = Checkpoint::parse(text.as_bytes()).expect_err(&text);
        assert_eq!(error.code, "state.checkpoint", "{text}");
    }
    assert_eq!(Extent::parse(good.as_bytes()).expect_err("a checkpoint is no extent").code, "state.extent");
}

#[test]
fn an_extent_laid_over_its_checkpoint_moves_its_places_only() {
    let after = checkpoint().overlaid(&extent());
    assert_eq!(
        (after.transaction, after.position(&place(1, "a")), after.position(&place(1, "late"))),
        (10, at(12), at(3))
    );
    let spans = Extent::between(&checkpoint(), &after.places);
    assert_eq!(spans, extent().spans);
}

#[test]
fn a_place_never_heard_of_is_at_the_beginning() {
    assert_eq!(checkpoint().position(&place(3, "new")), Position::BEGINNING);
}
