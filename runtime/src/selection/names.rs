//! Names of fields that a destination takes, each once. What the user wrote is taken as it is or refused; what a field is called by itself is
//! made legal, and kept apart from the others by a number. Which of two fields gets the number was decided when the second one came, and
//! stays so.

use longshore_proto::selection::{Field, natural_name};
use sha2::{Digest as _, Sha256};

use super::{Given, Part, Rules};
use crate::catalog::{Code, Diagnostic, FieldsDecl};

/// Hex digits of the hash that stands for the end of a name that is too long.
const HASH_DIGITS: usize = 8;

/// The names of one binding while they are given.
#[derive(Debug)]
pub(super) struct Names<'r> {
    rules: &'r Rules,
    /// What the user wrote: pointer, suffix, name.
    chosen: Vec<(String, String, String)>,
    taken: Vec<String>,
}

impl<'r> Names<'r> {
    pub(super) fn new(rules: &'r Rules) -> Self {
        Self { rules, chosen: Vec::new(), taken: Vec::new() }
    }

    /// The names that the user wrote come first: whoever else would have one of them gets another.
    pub(super) fn choose(&mut self, decl: &FieldsDecl, parts: &[Part], wrong: &mut Vec<Diagnostic>) {
        let renamed = decl.rename.iter().map(|(field, name)| (name, field.span, Some(&field.pointer)));
        let document = decl.document.iter().map(|(name, span)| (name, *span, None));
        for (name, span, pointer) in renamed.chain(document) {
            if let Some(fault) = self.fault(name) {
                let message = format!("expected a name that the destination takes, got `{}`: {fault}", shown(name));
                let help = format!("write another name, such as `{}`", shown(&self.legal(name)));
                wrong.push(Diagnostic::error(Code::FieldsName, span, message, help));
                continue;
            }
            let suffixes = parts.iter().filter(|part| Some(&part.pointer) == pointer).map(|part| &part.suffix);
            let mut all: Vec<(&str, String)> =
                suffixes.map(|suffix| (suffix.as_str(), self.fit(name, suffix))).collect();
            if all.is_empty() {
                // The document, or a field that is not there yet.
                all.push(("", name.clone()));
            }
            for (suffix, name) in all {
                if self.is_taken(&name) {
                    let message =
                        format!("expected names that the destination tells apart, got `{}` twice", shown(&name));
                    wrong.push(Diagnostic::error(Code::FieldsName, span, message, "give one of them another name"));
                }
                self.taken.push(self.folded(&name));
                if let Some(pointer) = pointer {
                    self.chosen.push((pointer.clone(), suffix.to_owned(), name));
                }
            }
        }
    }

    /// Names all fields, in their order.
    pub(super) fn give(mut self, parts: Vec<Part>, before: &[Given]) -> Vec<Field> {
        let mut names: Vec<Option<String>> = parts.iter().map(|part| self.chosen_for(part)).collect();
        for (part, name) in parts.iter().zip(&mut names).filter(|(_, name)| name.is_none()) {
            let base = self.legal(&natural_name(&part.pointer));
            let of_part = |old: &&Given| {
                let same = old.pointer == part.pointer && !self.is_taken(&old.name);
                same && self.numbered(&base, &part.suffix, before.len() + parts.len()).any(|one| one == old.name)
            };
            // Its own name, if it ever had it, else the one it had last.
            let own = self.fit(&base, &part.suffix);
            let found = before.iter().filter(of_part).find(|old| old.name == own);
            *name = found.or_else(|| before.iter().rev().find(of_part)).map(|old| old.name.clone());
            let kept: Vec<String> = name.iter().map(|name| self.folded(name)).collect();
            self.taken.extend(kept);
        }
        // What others were called is theirs.
        let theirs: Vec<String> = before.iter().map(|old| self.folded(&old.name)).collect();
        self.taken.extend(theirs);
        let mut fields = Vec::with_capacity(parts.len());
        for (Part { pointer, types, suffix }, name) in parts.into_iter().zip(names) {
            let name = name.unwrap_or_else(|| {
                let base = self.legal(&natural_name(&pointer));
                let room = self.taken.len() + 1;
                let free = self.numbered(&base, &suffix, room).find(|name| !self.is_taken(name));
                // Of one name more than are taken, one is free.
                free.unwrap_or(base)
            });
            self.taken.push(self.folded(&name));
            fields.push(Field { pointer, name, types });
        }
        fields
    }

    fn chosen_for(&self, part: &Part) -> Option<String> {
        let is = |(pointer, suffix, _): &&(String, String, String)| *pointer == part.pointer && *suffix == part.suffix;
        self.chosen.iter().find(is).map(|(_, _, name)| name.clone())
    }

    /// `name`, `name_2`, `name_3`, and so on, each with the suffix.
    fn numbered<'a>(&'a self, base: &'a str, suffix: &'a str, at_most: usize) -> impl Iterator<Item = String> + 'a {
        let numbered = (2..at_most + 2).map(move |number| self.fit(base, &format!("{suffix}_{number}")));
        std::iter::once(self.fit(base, suffix)).chain(numbered)
    }

    /// A name and what stands behind it, cut so that both are within the limit.
    fn fit(&self, base: &str, suffix: &str) -> String {
        let room = self.rules.max_bytes.map_or(base.len(), |max| max.saturating_sub(suffix.len()));
        format!("{}{suffix}", &base[..base.floor_char_boundary(room)])
    }

    /// The nearest name that the destination takes: the same one for the same name, always.
    fn legal(&self, name: &str) -> String {
        let mut legal = name.replace(|c: char| self.rules.forbidden.contains(c), "_");
        if legal.is_empty() || self.is_reserved(&legal) {
            legal.push('_');
        }
        match self.rules.max_bytes {
            Some(max) if legal.len() > max => {
                let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
                self.fit(&legal, &format!("_{}", &hash[..HASH_DIGITS]))
            }
            Some(_) | None => legal,
        }
    }

    fn fault(&self, name: &str) -> Option<String> {
        if let Some(bad) = name.chars().find(|c| self.rules.forbidden.contains(*c)) {
            return Some(format!("it holds {bad:?}"));
        }
        if self.is_reserved(name) {
            return Some("it keeps that for itself".to_owned());
        }
        let max = self.rules.max_bytes.filter(|max| name.len() > *max)?;
        Some(format!("it has {} bytes, and names there have at most {max}", name.len()))
    }

    fn is_reserved(&self, name: &str) -> bool {
        self.rules.reserved.iter().any(|reserved| self.folded(reserved) == self.folded(name))
    }

    fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(&self.folded(name))
    }

    /// What a destination may take for the same name is taken for the same, though some know only the letters A to Z.
    fn folded(&self, name: &str) -> String {
        if self.rules.case_insensitive { name.to_lowercase() } else { name.to_owned() }
    }
}

fn shown(name: &str) -> String {
    const SHOWN_BYTES: usize = 80;
    let text: String = name.chars().filter(|c| !c.is_control()).collect();
    if text.len() > SHOWN_BYTES { format!("{}…", &text[..text.floor_char_boundary(SHOWN_BYTES)]) } else { text }
}
