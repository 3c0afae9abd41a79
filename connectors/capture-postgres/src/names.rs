//! Names of what a task has on the server.

use longshore_postgres::NAME_MAX_BYTES;

/// The name of slot and publication where the user gives none: letters, digits and `_` of the task's, and a hash where that is not all.
pub(crate) fn of_task(task: &str) -> String {
    let fit = |letter: char| match letter {
        letter @ ('a'..='z' | '0'..='9' | '_') => letter,
        _ => '_',
    };
    let plain: String = format!("longshore_{task}").chars().map(fit).collect();
    if plain.len() <= NAME_MAX_BYTES && plain.ends_with(task) {
        return plain;
    }
    let hash = format!("_{:016x}", fnv1a(task.as_bytes()));
    let room = plain.len().min(NAME_MAX_BYTES - hash.len());
    format!("{}{hash}", &plain[..room])
}

/// Why the server would not take this as the name of a slot; none: it would.
pub(crate) fn fault_in_slot(name: &str) -> Option<String> {
    let is_fit = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_');
    match name.len() {
        1..=NAME_MAX_BYTES if name.bytes().all(is_fit) => None,
        1..=NAME_MAX_BYTES => Some(format!("{name:?}")),
        bytes => Some(format!("{name:?} of {bytes} bytes")),
    }
}

/// FNV-1a: tells names apart, and is the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_legal_and_no_two_tasks_share_one() {
        assert_eq!(of_task("shop"), "longshore_shop");
        assert!(of_task("a-b").starts_with("longshore_a_b_") && of_task("a-b") != of_task("a.b"));
        for task in ["", "Größe", &"x".repeat(300), "a/b", "a_b"] {
            assert_eq!(fault_in_slot(&of_task(task)), None, "{task:?}");
        }
        assert_ne!(of_task(&"x".repeat(300)), of_task(&"x".repeat(301)));
        assert!(
            fault_in_slot("A").is_some() && fault_in_slot("").is_some() && fault_in_slot(&"a".repeat(64)).is_some()
        );
    }
}
