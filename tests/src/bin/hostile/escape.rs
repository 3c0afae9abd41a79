//! What a connector tries to do to the machine it runs on: one function for each attempt, and what stopped it.
//!
//! None of them does harm where it succeeds: what is opened is not written to, and what is eaten is given back.

#![allow(unsafe_code, reason = "system calls that no safe library offers, since nobody means well with them")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::ptr::null;

use crate::Outcome;

const MIB: usize = 1 << 20;
/// More processes, files and bytes than these are a success of a bomb.
const PROCESSES: usize = 1_000;
const FILES: usize = 70_000;
const TMP_MIB: usize = 512;
const MEMORY_MIB: usize = 1_024;
/// What is said to a copy of this program that eats memory until somebody stops it.
pub(crate) const EAT: &str = "eat-memory";

/// What is tried by name; `value` is what stands behind `=`.
pub(crate) fn escape(name: &str, value: &str) -> Outcome {
    match name {
        // Files.
        "read" => File::open(value).map(|_| format!("opened {value}")).map_err(text),
        "write" => write(value),
        "make" => make(value),
        "read-disk" => first(&["/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/mem", "/dev/kmsg", "/dev/port"], read),
        "kernel-settings" => first(
            &[
                "/proc/sys/kernel/core_pattern",
                "/proc/sysrq-trigger",
                "/sys/kernel/uevent_helper",
                "/proc/sys/vm/panic_on_oom",
            ],
            write,
        ),
        "cgroup" => first(
            &[
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/pids/pids.max",
                "/sys/fs/cgroup/memory.max",
            ],
            write,
        ),
        "connect" => UnixStream::connect(value).map(|_| format!("connected to {value}")).map_err(text),
        "engine" => first(&["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"], |path| {
            UnixStream::connect(path).map(|_| format!("connected to {path}")).map_err(text)
        }),
        "other-sockets" => other_sockets(),
        "run-from-tmp" => run_from_tmp(),
        // Rights.
        "mount" => {
            call("mount", || unsafe { libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, null()) })
        }
        "unmount" => call("umount", || unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }),
        "chroot" => call("chroot", || unsafe { libc::chroot(c"/tmp".as_ptr()) }),
        "setuid" => call("setuid", || unsafe { libc::setuid(other_user()) }),
        "setgid" => call("setgid", || unsafe { libc::setgroups(1, [12].as_ptr()) }),
        "mknod" => {
            call("mknod", || unsafe { libc::mknod(c"/tmp/disk".as_ptr(), libc::S_IFBLK | 0o600, libc::makedev(8, 0)) })
        }
        "set-clock" => set_clock(),
        "set-hostname" => call("sethostname", || unsafe { libc::sethostname(c"owned".as_ptr(), 5) }),
        "load-module" => {
            call("init_module", || unsafe { libc::syscall(libc::SYS_init_module, null::<u8>(), 0, c"".as_ptr()) })
        }
        // A map of one entry.
        "bpf" => call("bpf", || unsafe { libc::syscall(libc::SYS_bpf, 0, [1_u32, 4, 4, 1, 0].as_ptr(), 20) }),
        "perf" => perf(),
        "keyring" => call("add_key", || unsafe {
            libc::syscall(libc::SYS_add_key, c"user".as_ptr(), c"k".as_ptr(), c"v".as_ptr(), 1, -3)
        }),
        "open-by-handle" => call("open_by_handle_at", || unsafe {
            libc::syscall(libc::SYS_open_by_handle_at, libc::AT_FDCWD, [8_u32, 1, 2, 0].as_ptr(), 0)
        }),
        // Namespaces.
        "new-user-namespace" => in_child(|| call("unshare", || unsafe { libc::unshare(libc::CLONE_NEWUSER) })),
        "new-mount-namespace" => in_child(|| call("unshare", || unsafe { libc::unshare(libc::CLONE_NEWNS) })),
        "enter-namespace" => enter_namespace(),
        // Others.
        "see-processes" => see_processes(),
        "ptrace" => ptrace(),
        "kill-runtime" => kill_runtime(),
        // Wires.
        "raw-socket" => socket(libc::AF_INET, libc::SOCK_RAW, 1),
        "packet-socket" => socket(libc::AF_PACKET, libc::SOCK_RAW, 0x0300),
        "interfaces" => interfaces(),
        // Bombs.
        "fork-bomb" => fork_bomb(),
        "fill-tmp" => fill_tmp(),
        "memory-bomb" => memory_bomb(),
        "open-files" => open_files(),
        "core-file" => core_file(),
        other => Ok(format!("nobody knows what {other} is: taken for a success")),
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn call<T: Into<i64>>(what: &str, call: impl FnOnce() -> T) -> Outcome {
    if call().into() >= 0 {
        Ok(format!("{what} did it"))
    } else {
        Err(format!("{what}: {}", std::io::Error::last_os_error()))
    }
}

/// The first that can be done, else why the last could not.
fn first(paths: &[&str], mut attempt: impl FnMut(&str) -> Outcome) -> Outcome {
    let mut last = Err("there is none".to_owned());
    for path in paths {
        last = attempt(path);
        if last.is_ok() {
            break;
        }
    }
    last
}

fn read(path: &str) -> Outcome {
    File::open(path).map(|_| format!("opened {path}")).map_err(text)
}

/// To be written to; nothing is.
fn write(path: &str) -> Outcome {
    OpenOptions::new().append(true).open(path).map(|_| format!("opened {path} to write")).map_err(text)
}

fn make(path: &str) -> Outcome {
    let made = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    made.map(|_| format!("made {path}")).map_err(text)
}

/// Those of other connectors and of the runtime, where a runtime puts them.
fn other_sockets() -> Outcome {
    let own = std::env::var("LONGSHORE_LISTEN").unwrap_or_default().replace("unix:", "");
    // SAFETY: it only tells.
    let user = unsafe { libc::getuid() };
    let mut bases =
        vec![format!("/tmp/longshore-{user}"), "/tmp/longshore-0".to_owned(), format!("/run/user/{user}/longshore")];
    bases.extend(std::env::var("XDG_RUNTIME_DIR").ok().map(|base| format!("{base}/longshore")));
    for base in bases {
        for directory in std::fs::read_dir(base).into_iter().flatten().flatten().map(|entry| entry.path()) {
            for socket in [directory.join("s"), directory.join("c/s")] {
                if socket != Path::new(&own) && UnixStream::connect(&socket).is_ok() {
                    return Ok(format!("connected to {}", socket.display()));
                }
            }
            if !own.starts_with(&directory.display().to_string()) {
                return Ok(format!("sees {}", directory.display()));
            }
        }
    }
    Err("there are none but its own".into())
}

fn run_from_tmp() -> Outcome {
    let copy = "/tmp/hostile-copy";
    std::fs::copy("/proc/self/exe", copy).map_err(text)?;
    std::fs::set_permissions(copy, std::fs::Permissions::from_mode(0o4755)).map_err(text)?;
    let ran = Command::new(copy).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).status();
    std::fs::remove_file(copy).map_err(text)?;
    ran.map(|_| "ran a program that it brought along".to_owned()).map_err(text)
}

fn other_user() -> u32 {
    // SAFETY: it only tells.
    if unsafe { libc::getuid() } == 0 { 1 } else { 0 }
}

fn set_clock() -> Outcome {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` lives across both calls; the time is set to what it is.
    call("clock_settime", || unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const now)
    })
}

/// Counting what the whole machine does.
fn perf() -> Outcome {
    let mut attributes = [0_u64; 16];
    // A software event, its clock; the size of this version.
    attributes[0] = 1 | (128 << 32);
    call("perf_event_open", || unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), -1, 0, -1, 0) })
}

fn socket(family: i32, kind: i32, protocol: i32) -> Outcome {
    call("socket", || unsafe { libc::socket(family, kind, protocol) })
}

/// In a process of its own, which alone has what it gets.
fn in_child(attempt: impl FnOnce() -> Outcome) -> Outcome {
    // SAFETY: the child makes system calls and leaves; it never returns into what its parent was at.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(attempt().is_err());
            unsafe { libc::_exit(code) }
        }
        child if child > 0 => {
            let mut status = 0;
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            if status == 0 { Ok("it has one".into()) } else { Err("it may not".into()) }
        }
        _ => Err("it could not even fork".into()),
    }
}

/// That of a process which is not its own, were there one.
fn enter_namespace() -> Outcome {
    let own = std::fs::read_link("/proc/self/ns/mnt").map_err(text)?;
    for process in processes() {
        let path = format!("/proc/{process}/ns/mnt");
        let (Ok(other), Ok(file)) = (std::fs::read_link(&path), File::open(&path)) else { continue };
        use std::os::fd::AsRawFd as _;
        if other != own && unsafe { libc::setns(file.as_raw_fd(), 0) } == 0 {
            return Ok(format!("it is where process {process} is"));
        }
    }
    Err("there is none to enter".into())
}

fn processes() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What is no part of it: not itself, nor what it started, nor the first process of its own namespace.
fn others() -> Vec<i32> {
    let itself = std::process::id().cast_signed();
    let known = |process: i32| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse::<i32>().ok());
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        process == itself || parent == Some(itself) || (process == 1 && name.trim() == "bwrap")
    };
    processes().into_iter().filter(|&process| !known(process)).collect()
}

fn see_processes() -> Outcome {
    match others().as_slice() {
        [] => Err("it sees itself alone".into()),
        seen => Ok(format!("it sees {} others", seen.len())),
    }
}

fn ptrace() -> Outcome {
    for process in others() {
        if unsafe { libc::ptrace(libc::PTRACE_SEIZE, process, 0, 0) } == 0 {
            unsafe { libc::ptrace(libc::PTRACE_DETACH, process, 0, 0) };
            return Ok(format!("it traces process {process}"));
        }
    }
    let outside = if others().is_empty() { "there is nobody" } else { "nobody lets it" };
    Err(outside.into())
}

/// Whether it could: no signal is sent.
fn kill_runtime() -> Outcome {
    for process in others() {
        let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        if name.trim() == "longshore" && unsafe { libc::kill(process, 0) } == 0 {
            return Ok(format!("it can kill process {process}"));
        }
    }
    Err("it finds no runtime to kill".into())
}

/// Any that leads somewhere.
fn interfaces() -> Outcome {
    let listed = std::fs::read_to_string("/proc/net/dev").map_err(text)?;
    let names = listed.lines().skip(2).filter_map(|line| Some(line.split_once(':')?.0.trim()));
    let lead: Vec<&str> = names.filter(|name| *name != "lo").collect();
    if lead.is_empty() { Err("loopback alone".into()) } else { Ok(lead.join(" ")) }
}

fn fork_bomb() -> Outcome {
    let mut children: Vec<Child> = Vec::new();
    let mut stopped = None;
    while children.len() < PROCESSES {
        match Command::new("/proc/self/exe").arg("sleep").stdin(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                stopped = Some(text(error));
                break;
            }
        }
    }
    let count = children.len();
    for child in &mut children {
        drop(child.kill());
        drop(child.wait());
    }
    stopped
        .map_or_else(|| Ok(format!("it has {count} processes")), |why| Err(format!("after {count} processes: {why}")))
}

fn fill_tmp() -> Outcome {
    let path = Path::new("/tmp/filler");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(text)?;
    let block = vec![1; MIB];
    let mut stopped = None;
    for written in 0..TMP_MIB {
        if let Err(error) = file.write_all(&block) {
            stopped = Some(format!("after {written} MiB: {error}"));
            break;
        }
    }
    std::fs::remove_file(path).map_err(text)?;
    stopped.map_or_else(|| Ok(format!("it wrote {TMP_MIB} MiB")), Err)
}

/// In a process that the kernel takes first, so that this one can tell.
fn memory_bomb() -> Outcome {
    let child = Command::new("/proc/self/exe").arg(EAT).stdin(Stdio::null()).stdout(Stdio::null()).status();
    match child.map_err(text)? {
        status if status.success() => Ok(format!("it had {MEMORY_MIB} MiB")),
        status => Err(status.to_string()),
    }
}

pub(crate) fn eat_memory() {
    std::fs::write("/proc/self/oom_score_adj", "1000").unwrap_or_default();
    let mut eaten = Vec::new();
    for _ in 0..MEMORY_MIB {
        eaten.push(vec![1_u8; MIB]);
    }
    std::hint::black_box(&eaten);
}

fn open_files() -> Outcome {
    let mut files = Vec::new();
    while files.len() < FILES {
        match File::open("/proc/self/exe") {
            Ok(file) => files.push(file),
            Err(error) => return Err(format!("after {} files: {error}", files.len())),
        }
    }
    Ok(format!("it has {} files open", files.len()))
}

fn core_file() -> Outcome {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` lives across the calls.
    unsafe { libc::getrlimit(libc::RLIMIT_CORE, &raw mut limit) };
    let more = libc::rlimit { rlim_cur: 1, rlim_max: limit.rlim_max.max(1) };
    call("setrlimit", || unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const more) })
}
