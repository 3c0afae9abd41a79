//! Reaching for hosts and ports, and a listener that is reached for.

#![allow(clippy::print_stdout, reason = "who was reached says so where the test reads it")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, lookup_host};

use crate::Outcome;

/// Who does not answer within this time is not reached.
const ANSWERS: Duration = Duration::from_secs(4);
/// Between two looks at a file.
const LOOK: Duration = Duration::from_millis(20);

/// `HOST:PORT`, or `udp:HOST:PORT`, or `name:HOST` for a name alone. A host is reached when it answers.
pub(crate) async fn reach(target: &str) -> Outcome {
    let tried = tokio::time::timeout(ANSWERS, async {
        match target.split_once(':') {
            Some(("udp", target)) => udp(target).await,
            Some(("name", host)) => Ok(format!("{:?}", lookup_host((host, 1)).await?.collect::<Vec<_>>())),
            Some(_) | None => tcp(target).await,
        }
    });
    match tried.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWERS.as_secs())),
    }
}

async fn tcp(target: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(target).await?;
    stream.write_all(b"hello\n").await?;
    stream.shutdown().await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.is_empty() { Err(std::io::Error::other("it says nothing")) } else { Ok(answer.trim().to_owned()) }
}

async fn udp(target: &str) -> std::io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(target).await?;
    socket.send(b"hello\n").await?;
    let mut answer = [0; 100];
    let count = socket.recv(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..count]).trim().to_owned())
}

/// Until a file is there.
pub(crate) async fn wait(path: &str) {
    while !std::path::Path::new(path).exists() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Reaches for each, and prints what it answers.
pub(crate) fn ask(targets: &[String]) -> ExitCode {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    for target in targets {
        match runtime.block_on(reach(target)) {
            Ok(answer) => println!("{answer}"),
            Err(why) => println!("not reached: {why}"),
        }
    }
    ExitCode::SUCCESS
}

/// Answers each connection with what came and a greeting, and prints that it was reached.
pub(crate) fn listen(ports: &[String]) -> ExitCode {
    let listeners: Vec<TcpListener> =
        ports.iter().filter_map(|port| TcpListener::bind(format!("0.0.0.0:{port}")).ok()).collect();
    if listeners.is_empty() || listeners.len() != ports.len() {
        return ExitCode::FAILURE;
    }
    println!("listening");
    std::thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    println!("reached");
                    let mut came = String::new();
                    drop(stream.read_to_string(&mut came));
                    drop(stream.write_all(format!("welcome, {came}").as_bytes()));
                }
            });
        }
    });
    ExitCode::SUCCESS
}
