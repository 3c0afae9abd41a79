//! The end of a session: what is under way is dropped or finished, then the stream is half-closed.

use longshore_proto::Error;

use super::{Action, End, Head, Tail, Transaction};

impl Transaction {
    /// Before Flush nothing was stored: that is dropped. Everything later is finished to Acknowledged.
    pub(super) fn stop_requested(&mut self) {
        self.ending = match self.ending {
            Some(End::Drained) => Some(End::Drained),
            Some(End::Stopped | End::SchemaGrew | End::Rejected) | None => Some(End::Stopped),
        };
        self.head = match std::mem::replace(&mut self.head, Head::Resting) {
            Head::Gathering(_) | Head::Asking(_) | Head::Asked(_) => Head::Resting,
            other @ (Head::Opening
            | Head::Adopting { .. }
            | Head::Resting
            | Head::Flushing(_)
            | Head::Recording(_)
            | Head::Storing(_)
            | Head::Committing(_)
            | Head::Settling(_)
            | Head::Refused
            | Head::Skipping
            | Head::HalfClosed
            | Head::Finished) => other,
        };
    }

    pub(super) fn half_close_when_over(&mut self, out: &mut Vec<Action>) {
        if let (Head::Resting, Tail::Idle, Some(end)) = (&self.head, self.tail, self.ending) {
            if self.peer_ended {
                self.head = Head::Finished;
                out.push(Action::Finish(end));
            } else {
                self.head = Head::HalfClosed;
                out.push(Action::HalfClose);
            }
        }
    }

    /// After Rejected the connector need not wait for us.
    pub(super) fn stream_ended(&mut self, out: &mut Vec<Action>) -> Result<(), Error> {
        if matches!(self.head, Head::Refused | Head::Skipping) {
            self.peer_ended = true;
            return Ok(());
        }
        let (Head::HalfClosed, Some(end)) = (&self.head, self.ending) else {
            return Err(self.unexpected("the end of the stream"));
        };
        self.head = Head::Finished;
        out.push(Action::Finish(end));
        Ok(())
    }
}
