//! The relay: `longshore-relay ADDRESS PAIR…` listens on ADDRESS at the port of each pair, and carries what comes to that host and port.
//!
//! It looks names up for each connection and dials what it has looked at: an address that is never carried to ([`longshore_relay::address`])
//! is refused, whoever's name server gave it. It ends when its standard input does, which the runtime holds.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use longshore_relay::Pair;
use longshore_relay::address::never;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections carried at a time; more of them wait to be taken.
const SEATS: usize = 512;
/// For looking a name up, and for each address to answer.
const ANSWERS: Duration = Duration::from_secs(10);
/// Between two tries to take a connection when the system has no room for one.
const ROOM: Duration = Duration::from_millis(100);
/// Name look-ups at a time.
const LOOKS: usize = 4;

fn main() -> ExitCode {
    let Some((address, pairs)) = arguments() else {
        say("error", "usage: longshore-relay ADDRESS PAIR…; the runtime starts it for `network: { allow: […] }`");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(LOOKS).build();
    let ended = runtime.and_then(|runtime| runtime.block_on(relay(address, pairs)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say("error", &format!("the relay cannot work: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Option<(IpAddr, Vec<Pair>)> {
    let mut words = std::env::args().skip(1);
    let address = words.next()?.parse().ok()?;
    let pairs: Vec<Pair> = words.map(|word| Pair::parse(&word).ok()).collect::<Option<_>>()?;
    (!pairs.is_empty()).then_some((address, pairs))
}

async fn relay(address: IpAddr, pairs: Vec<Pair>) -> std::io::Result<()> {
    // Reading a pipe blocks, and nothing but the end of this process would stop it.
    std::thread::Builder::new().name("lifeline".into()).spawn(|| {
        // Its end, or that it cannot be read: either way nobody holds us any more.
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    })?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let seats = Arc::new(Semaphore::new(SEATS));
    let mut serving = JoinSet::new();
    for pair in pairs {
        let listener = TcpListener::bind((address, pair.port())).await?;
        serving.spawn(serve(listener, Arc::new(pair), Arc::clone(&seats)));
    }
    // The runtime waits for this line: from here on connections are taken.
    say("debug", "the relay listens");
    tokio::select! {
        _ = terminated.recv() => {}
        _ = serving.join_next() => {}
    }
    Ok(())
}

async fn serve(listener: TcpListener, pair: Arc<Pair>, seats: Arc<Semaphore>) {
    let mut carried = JoinSet::new();
    loop {
        while carried.try_join_next().is_some() {}
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        tokio::select! {
            taken = listener.accept() => match taken {
                Ok((connector, _)) => {
                    let pair = Arc::clone(&pair);
                    carried.spawn(async move {
                        carry(connector, &pair).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    say("warn", &format!("{pair}: cannot take a connection: {error}"));
                    tokio::time::sleep(ROOM).await;
                }
            },
            // Those that are over make room for the others' results; the seat goes back.
            Some(_) = carried.join_next() => {}
        }
    }
}

/// One connection, until both sides have ended it. One that cannot be carried is reset, so that the connector sees an error and not an end.
async fn carry(mut connector: TcpStream, pair: &Pair) {
    match dial(pair).await {
        Ok(mut host) => {
            for stream in [&connector, &host] {
                // Without it a host that is gone is never noticed; it is no reason to carry nothing.
                rustix::net::sockopt::set_socket_keepalive(stream, true).ok();
                stream.set_nodelay(true).ok();
            }
            // Whichever side broke it, the other sees an end.
            copy_bidirectional(&mut connector, &mut host).await.ok();
        }
        Err(why) => {
            say("warn", &format!("not carried: {pair}: {why}"));
            rustix::net::sockopt::set_socket_linger(&connector, Some(Duration::ZERO)).ok();
        }
    }
}

async fn dial(pair: &Pair) -> Result<TcpStream, String> {
    let addresses = match pair.address() {
        Some(address) => vec![SocketAddr::new(address, pair.port())],
        None => look_up(pair).await?,
    };
    let mut why = "the name has no address".to_owned();
    for address in addresses {
        if let Some(what) = never(address.ip()) {
            why = format!("{} is {what}", address.ip());
            continue;
        }
        match timeout(ANSWERS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why = format!("{address}: {error}"),
            Err(_) => why = format!("{address} does not answer within {} s", ANSWERS.as_secs()),
        }
    }
    Err(why)
}

async fn look_up(pair: &Pair) -> Result<Vec<SocketAddr>, String> {
    match timeout(ANSWERS, lookup_host((pair.name(), pair.port()))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(format!("looking the name up: {error}")),
        Err(_) => Err(format!("no name server answers within {} s", ANSWERS.as_secs())),
    }
}

/// A line of the launch contract.
#[allow(clippy::print_stderr, reason = "standard error is where the runtime reads log lines")]
fn say(level: &str, message: &str) {
    eprintln!("{}", serde_json::json!({ "level": level, "msg": message }));
}
