//! `${exec:COMMAND}`: the standard output of a command, as a value. Whether one may be run at all is decided by [`crate::catalog`].

#![allow(clippy::disallowed_methods, reason = "a command's output is read on a thread, no longer than the limit")]

use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// A command may have to ask somebody else, but not for ever.
const LIMIT: Duration = Duration::from_secs(30);
/// A password or a certificate, nothing larger.
const OUTPUT_MAX_BYTES: u64 = 1 << 20;
/// What is shown of its own words when it fails.
const WORDS_MAX_BYTES: usize = 300;

/// Runs a command with `sh -c` in a directory and gives what it prints, without the newline at its end.
///
/// # Errors
/// Why there is no value; never what the command printed on standard output.
pub(crate) fn output_of(command: &str, directory: &Path) -> Result<String, String> {
    let run = || output_within(command, directory, LIMIT);
    // A session waits for it anyway; the other tasks of this thread need not.
    match tokio::runtime::Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(run)
        }
        Ok(_) | Err(_) => run(),
    }
}

fn output_within(command: &str, directory: &Path, limit: Duration) -> Result<String, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).current_dir(directory).process_group(0);
    let spawned = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("cannot start /bin/sh: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (tell, told) = sync_channel(2);
    for (is_value, pipe) in [(true, stdout.map(std::os::fd::OwnedFd::from)), (false, stderr.map(Into::into))] {
        let (Some(pipe), tell) = (pipe, tell.clone()) else { return Err("its output is no pipe".into()) };
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = std::fs::File::from(pipe).take(OUTPUT_MAX_BYTES + 1).read_to_end(&mut bytes);
            // Nobody may be waiting any more.
            tell.send((is_value, read.map(|_| bytes))).ok();
        });
    }
    let (mut value, mut words) = (Vec::new(), Vec::new());
    let until = Instant::now() + limit;
    for _ in 0..2 {
        match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok((true, Ok(bytes))) => value = bytes,
            Ok((false, Ok(bytes))) => words = bytes,
            Ok((_, Err(error))) => return Err(end(&mut child, format!("reading its output: {error}"))),
            Err(_) => return Err(end(&mut child, format!("it did not end within {} s", limit.as_secs_f64()))),
        }
    }
    if value.len() as u64 > OUTPUT_MAX_BYTES {
        return Err(end(&mut child, format!("it prints more than {OUTPUT_MAX_BYTES} bytes")));
    }
    let status = child.wait().map_err(|error| format!("waiting for its end: {error}"))?;
    if !status.success() {
        let words = String::from_utf8_lossy(&words);
        let words = words.trim();
        let words = &words[..words.floor_char_boundary(WORDS_MAX_BYTES)];
        return Err(if words.is_empty() { status.to_string() } else { format!("{status}: {words}") });
    }
    let value = String::from_utf8(value).map_err(|_| "it prints what is no UTF-8 text".to_owned())?;
    let value = value.strip_suffix('\n').unwrap_or(&value);
    match value.strip_suffix('\r').unwrap_or(value) {
        "" => Err("it prints nothing".into()),
        value => Ok(value.to_owned()),
    }
}

/// Ends it with all that it started.
fn end(child: &mut std::process::Child, why: String) -> String {
    // An error means that it has ended by itself.
    rustix::process::kill_process_group(Pid::from_child(child), Signal::KILL).ok();
    child.wait().ok();
    why
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(command: &str) -> Result<String, String> {
        output_within(command, Path::new("/"), Duration::from_millis(500))
    }

    #[test]
    fn a_value_is_what_the_command_prints() {
        assert_eq!(output("printf 'a b\\n\\n'").as_deref(), Ok("a b\n"));
        assert_eq!(output("pwd").as_deref(), Ok("/"));
    }

    #[test]
    fn a_command_that_gives_no_value_says_why_and_never_what_it_printed() {
        let cases = [
            ("echo s3cret; echo no key >&2; exit 3", "exit status: 3: no key"),
            ("true", "prints nothing"),
            ("printf '\\377'", "no UTF-8"),
            ("head -c 2000000 /dev/zero", "more than 1048576 bytes"),
            ("sleep 100 & sleep 100", "did not end within 0.5 s"),
            ("no-such-program-here", "exit status: 127"),
        ];
        for (command, part) in cases {
            let why = output(command).expect_err(command);
            assert!(why.contains(part) && !why.contains("s3cret"), "{command}: {why}");
        }
    }
}
