//! How a connector is asked to leave: SIGTERM, a second one, and the end of its lifeline.

#![allow(
    clippy::disallowed_methods,
    reason = "signals and the lifeline are watched for as long as the connector lives"
)]

use std::io::Read as _;
use std::time::Duration;

use longshore_proto::Error;
use tokio::signal::unix::{SignalKind, signal};

use super::Drain;

/// How long an open session may take to finish its transaction.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// SIGTERM (or Ctrl-C, by hand) drains; the second one leaves at once.
pub(crate) fn drain_on_terminate(drain: Drain) -> Result<(), Error> {
    let listening = |error| Error::internal("sdk.signals", format!("listening for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(listening)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(listening)?;
    tokio::spawn(async move {
        for asked in 0_u32.. {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if asked > 0 {
                tracing::warn!("asked to leave a second time; leaving at once");
                std::process::exit(1);
            }
            tracing::debug!("asked to leave; finishing what is open");
            drain.cancel();
        }
    });
    Ok(())
}

/// Returns when the grace period after the start of the drain is over.
pub(crate) async fn grace_is_over(drain: Drain) {
    drain.cancelled().await;
    tokio::time::sleep(GRACE_PERIOD).await;
}

/// With `LONGSHORE_LIFELINE=stdin`: when standard input ends, so does the process, whatever it does. A thread of its own, so that nothing an
/// author does to the async threads can hold it up.
pub(crate) fn end_with_lifeline() {
    if std::env::var("LONGSHORE_LIFELINE").as_deref() != Ok("stdin") {
        return;
    }
    std::thread::spawn(|| {
        let mut ignored = [0_u8; 64];
        let mut lifeline = std::io::stdin().lock();
        loop {
            match lifeline.read(&mut ignored) {
                Ok(0) => std::process::exit(0),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => std::process::exit(0),
            }
        }
    });
}
