//! What a system may have no more of when a connector is to be started: descriptors, processes, memory. That passes; it is nobody's mistake.

use std::io;

use longshore_proto::Error;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A login shell and a service get 1,024 open files, and may have many more if they ask: a task takes six.
pub fn allow_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, there are as many as before.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
}

/// The error, if it is about a shortage; tried again, it may be over.
pub(super) fn of(error: &io::Error, message: &str) -> Option<Error> {
    let help = match Errno::from_io_error(error)? {
        Errno::MFILE => {
            "allow more open files (`ulimit -Hn`, `LimitNOFILE=` of a service), or run fewer tasks at a time"
        }
        Errno::NFILE => "the system allows no more open files (`fs.file-max`): end what has many, or allow more",
        Errno::AGAIN => {
            "allow more processes (`ulimit -u`, `TasksMax=` of a service, `pids` of a container), or run fewer tasks at a time"
        }
        Errno::NOMEM => "the system has no memory for it: end what has much, or give it more",
        _ => return None,
    };
    Some(Error::unavailable("connector.shortage", message).suggest(help))
}

#[cfg(test)]
mod tests {
    use longshore_proto::ErrorKind;

    use super::*;

    #[test]
    fn a_shortage_passes_and_says_what_to_do() {
        let told = |errno: Errno| of(&io::Error::from_raw_os_error(errno.raw_os_error()), "starting it");
        let error = told(Errno::MFILE).expect("a shortage");
        assert_eq!((error.kind, error.code.as_str()), (ErrorKind::Unavailable, "connector.shortage"));
        assert!(error.suggestion.contains("ulimit"), "{error}");
        assert!(told(Errno::NOENT).is_none(), "somebody has to mend that");
    }
}
