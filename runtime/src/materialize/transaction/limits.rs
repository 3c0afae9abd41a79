//! When a transaction closes: what we think best, unless the connector asks for something else or the user has said so.

use std::time::Duration;

use longshore_proto::session::ClosePolicy;

/// When a transaction closes, at the latest; each with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// With so many bytes of documents.
    pub close_bytes: u64,
    /// With so many documents.
    pub close_documents: u64,
    /// So long after its first document.
    pub close_age_ms: u64,
    /// As soon as there is nothing more to read.
    pub close_when_idle: bool,
    /// So long after something was passed by, if no document came, where that is committed too.
    pub skipped_age_ms: u64,
    /// More bytes than these no connector gets by asking: they are read again after each crash.
    pub asked_bytes_max: u64,
    /// Longer than this documents do not wait because a connector asks for it.
    pub asked_age_max_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            close_bytes: 32 << 20,
            close_documents: 2_000_000,
            close_age_ms: 1_000,
            close_when_idle: false,
            skipped_age_ms: 60_000,
            asked_bytes_max: 512 << 20,
            asked_age_max_ms: 600_000,
        }
    }
}

impl Limits {
    /// The user's word: documents wait so long, whatever a connector asks for.
    #[must_use]
    pub fn every(self, every: Option<Duration>) -> Self {
        let Some(every) = every else { return self };
        let ms = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        Self { close_age_ms: ms, asked_age_max_ms: 0, skipped_age_ms: self.skipped_age_ms.max(ms), ..self }
    }

    /// What the connector asks for, as far as it may.
    pub(super) fn ask_for(&mut self, wish: ClosePolicy) {
        if let Some(bytes) = wish.least_bytes {
            self.close_bytes = bytes.clamp(1, self.asked_bytes_max);
        }
        if self.asked_age_max_ms == 0 {
            return;
        }
        if let Some(ms) = wish.greatest_age_ms {
            self.close_age_ms = ms.min(self.asked_age_max_ms);
        }
        self.close_when_idle = wish.when_idle;
    }
}
