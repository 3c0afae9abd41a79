//! When a transaction closes: what the connector asks for, within our limits, and the user before it.

use super::*;

#[test]
fn the_connectors_wishes_count_within_our_limits_and_the_users_word_before_them() {
    let fifth = Some(Duration::from_secs(5));
    for (every, wish, expected_age, documents_bytes) in [
        (None, ClosePolicy::default(), 1_000, 100),
        (None, ClosePolicy { least_bytes: Some(40), greatest_age_ms: Some(10), when_idle: false }, 10, 40),
        (None, ClosePolicy { least_bytes: Some(150), greatest_age_ms: Some(60_000), when_idle: false }, 60_000, 150),
        (
            None,
            ClosePolicy { least_bytes: Some(u64::MAX), greatest_age_ms: Some(u64::MAX), when_idle: false },
            90_000,
            200,
        ),
        (fifth, ClosePolicy { least_bytes: Some(150), greatest_age_ms: Some(10), when_idle: false }, 5_000, 150),
    ] {
        let ours = checkpoint(0, &[]);
        let mut story = Story::within(LIMITS.every(every), Guarantee::Transactional, ours.clone(), &["a"]);
        let resume = Resume::GoOn { checkpoint: ours, acknowledge: 0 };
        story.go(Event::Opened { resume, recorded_transaction: 0, close_policy: wish });
        story.go(acknowledged());
        let positions = vec![(JournalId([1; 16]), at(1))];
        let read = Advanced { documents: 1, bytes: documents_bytes, then: Then::More, ..Advanced::default() };
        let advanced = Advanced { positions, ..read };
        assert_eq!(story.go(Event::Advanced(advanced)), [format!("age {expected_age}"), "loads".to_owned()]);
    }
}

#[test]
fn who_asks_for_it_gets_a_transaction_as_soon_as_nothing_more_is_there_unless_the_user_says_when() {
    for (every, closes) in [(None, true), (Some(Duration::from_secs(5)), false)] {
        let ours = checkpoint(0, &[]);
        let mut story = Story::within(LIMITS.every(every), Guarantee::Transactional, ours.clone(), &["a"]);
        let resume = Resume::GoOn { checkpoint: ours, acknowledge: 0 };
        let close_policy = ClosePolicy { when_idle: true, ..ClosePolicy::default() };
        story.go(Event::Opened { resume, recorded_transaction: 0, close_policy });
        story.go(acknowledged());
        assert!(story.go(read(0, 0, Then::Nothing)).is_empty(), "nothing came yet");
        assert_eq!(story.go(Event::MoreToRead), ["advance"]);
        assert_eq!(story.go(read(5, 5, Then::More))[1..], ["advance"], "more is there already");
        let last = story.go(read(3, 8, Then::Nothing));
        assert_eq!(last.contains(&"loads".to_owned()), closes, "{last:?}");
        if closes {
            // What comes while it is committed goes into the next one.
            story.go(Event::LoadsSent);
            story.go(flushed());
            assert_eq!(story.go(Event::MoreToRead), [""; 0]);
        }
    }
}
