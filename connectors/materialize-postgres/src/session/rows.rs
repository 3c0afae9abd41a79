//! Rows of a batch in the server's binary form, if all of their values are plain: else they are written as texts, where it is told what is wrong
//! with one.

use longshore_sdk::materialize::{Row, StoreBatch};

use super::{Table, Way};
use crate::binary::{self, Unusual};
use crate::copy::{Form, Lines};

/// After a value that is not plain, so many batches are written as texts: others like it will come.
const TEXT_BATCHES: usize = 16;

impl Table {
    /// None: they are to be written as texts.
    pub(super) fn plain_lines(&mut self, batch: &StoreBatch) -> Option<Lines> {
        if !self.converter.is_plain() {
            return None;
        }
        if self.texts_left > 0 {
            self.texts_left -= 1;
            return None;
        }
        let lines = self.try_plain_lines(batch);
        if lines.is_err() {
            self.texts_left = TEXT_BATCHES;
        }
        lines.ok()
    }

    fn try_plain_lines(&mut self, batch: &StoreBatch) -> Result<Lines, Unusual> {
        let mut lines = Lines::new(Form::Binary, batch.byte_len());
        let (mut found, mut absent) = (Vec::new(), Vec::new());
        let (mut any_gone, mut any_part) = (false, false);
        for (at, row) in batch.rows().enumerate() {
            let is_gone = row.key.is_some() && row.delete;
            let mut is_part = false;
            lines.push(at, |out| {
                is_part = self.plain_line(&row, &mut found, &mut absent, out)?;
                Ok::<(), Unusual>(())
            })?;
            match self.way {
                Way::Staged { .. } => {
                    any_gone |= is_gone;
                    any_part |= is_part;
                }
                // Nothing was there when the transaction began, and a key comes once: there is nothing to delete.
                Way::Direct | Way::Behind | Way::Unused if is_gone => lines.pop(),
                Way::Direct | Way::Behind | Way::Unused => {}
            }
        }
        if let Way::Staged { has_deletes, has_parts } = &mut self.way {
            *has_deletes |= any_gone;
            *has_parts |= any_part;
        }
        Ok(lines)
    }

    /// Whether it is a part of a row.
    fn plain_line<'d>(
        &self,
        row: &Row<'d>,
        found: &mut Vec<Option<&'d str>>,
        absent: &mut Vec<bool>,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unusual> {
        let gone = row.key.filter(|_| row.delete);
        let width = self.shape.columns.len();
        let is_staged = matches!(self.way, Way::Staged { .. });
        binary::begin_row(if is_staged { width + 2 } else { width }, out);
        match gone {
            Some(key) => self.converter.plain_gone(key, out)?,
            None => self.converter.plain_row(row.document, found, out)?,
        }
        if !is_staged {
            return Ok(false);
        }
        binary::boolean(gone.is_some(), out);
        match row.partial_update {
            true => self.converter.plain_kept(row.document, found, absent, out),
            false => {
                binary::null(out);
                Ok(false)
            }
        }
    }
}
