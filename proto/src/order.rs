//! What the two order tables share: how a broken order is told. The tables are in [`crate::capture::order`] and
//! [`crate::materialize::order`].

use std::fmt;

use crate::error::Error;
use crate::parse::Side;
use crate::rules::Rule;

/// A message that may not come now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The rule that states the order.
    pub rule: Rule,
    /// Who sent it.
    pub side: Side,
    /// What was sent.
    pub got: &'static str,
    /// In which state.
    pub state: &'static str,
    /// What the table allows that side in that state.
    pub expected: Vec<&'static str>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, state, got, expected, .. } = self;
        write!(f, "the {} sent {got} while {state}: expected ", side.as_str())?;
        if expected.is_empty() { f.write_str("nothing") } else { write!(f, "one of [{}]", expected.join(", ")) }
    }
}

impl std::error::Error for Violation {}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        let (rule, by) = (violation.rule, violation.side.as_str());
        Error::protocol(rule, violation.to_string())
            .suggest(format!("report this to the authors of the {by}: it breaks rule {rule} of PROTOCOL.md"))
    }
}

/// An enum that can be listed and names its variants.
macro_rules! listed {
    ($(#[$of_enum:meta])* $name:ident { $($(#[$of_variant:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$of_enum])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$of_variant])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// As errors and PROTOCOL.md write it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use listed;
