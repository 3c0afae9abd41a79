//! How a connector ended, and the news of it: the same for a process and a container.

use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::sync::watch;

/// How a connector ended.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    how: How,
    last_lines: String,
}

#[derive(Debug, Clone)]
enum How {
    Code(i32),
    Signal(i32),
    /// The kernel killed it: it wanted more than this many bytes of memory.
    OutOfMemory(u64),
    Unknown,
}

/// Tells when a connector has ended, to anybody, at any time.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    exit: watch::Receiver<Option<Exit>>,
}

impl Exit {
    pub(crate) fn of_process(status: ExitStatus, last_lines: String) -> Self {
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => How::Code(code),
            (None, Some(signal)) => How::Signal(signal),
            (None, None) => How::Unknown,
        };
        Self { how, last_lines }
    }

    /// As an Engine tells it: codes above 128 are signals.
    pub(crate) fn of_container(code: Option<i64>, memory_ran_out: Option<u64>, last_lines: String) -> Self {
        let code = code.and_then(|code| i32::try_from(code).ok());
        let how = match (memory_ran_out, code) {
            (Some(limit_bytes), _) => How::OutOfMemory(limit_bytes),
            (None, Some(code @ 129..=192)) => How::Signal(code - 128),
            (None, Some(code)) => How::Code(code),
            (None, None) => How::Unknown,
        };
        Self { how, last_lines }
    }

    /// It ended by itself and says that all is well.
    pub(crate) fn success(&self) -> bool {
        matches!(self.how, How::Code(0))
    }

    /// What a person can do about it.
    pub(crate) fn suggestion(&self) -> &'static str {
        match self.how {
            How::OutOfMemory(_) => "give it more with `limits: { memory: … }` of the task",
            How::Code(_) => "its own words say why; `-v` shows all of them",
            How::Signal(_) => "it crashed, or something outside ended it: the log of the system may say what",
            How::Unknown => "",
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Code(code) => write!(f, "exit status {code}")?,
            How::Signal(signal) => write!(f, "killed by signal {signal}")?,
            How::OutOfMemory(limit_bytes) => {
                write!(f, "killed, out of memory: it wanted more than its {} MiB", limit_bytes >> 20)?;
            }
            How::Unknown => f.write_str("no exit status")?,
        }
        match self.last_lines.as_str() {
            "" => f.write_str("; it said nothing on standard error"),
            lines => write!(f, "; its last words: {lines}"),
        }
    }
}

impl Watch {
    /// One end for whoever keeps the connector, one for whoever wants to know.
    pub(crate) fn channel() -> (watch::Sender<Option<Exit>>, Self) {
        let (tell, exit) = watch::channel(None);
        (tell, Self { exit })
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.exit.borrow().is_some()
    }

    /// Waits until it has ended and is reaped. `None`: the keeper could not tell how.
    pub(crate) async fn ended(&mut self) -> Option<Exit> {
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone())
    }

    /// Why a connection may have broken just now: waits a moment for the news that the connector has ended.
    pub(crate) async fn just_ended(&mut self) -> Option<Exit> {
        const NEWS: Duration = Duration::from_secs(1);
        tokio::time::timeout(NEWS, self.ended()).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_what_caused_it() {
        let told = |code, memory| Exit::of_container(code, memory, "bye".into()).to_string();
        assert_eq!(told(Some(3), None), "exit status 3; its last words: bye");
        assert_eq!(told(Some(137), None), "killed by signal 9; its last words: bye");
        assert!(told(Some(137), Some(64 << 20)).starts_with("killed, out of memory: it wanted more than its 64 MiB"));
        assert!(Exit::of_container(Some(0), None, String::new()).success());
        assert!(!Exit::of_container(None, None, String::new()).success());
    }
}
