//! A panic in an author's code is an `internal` error of that call, not the end of the process and never a silence.

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo};

use futures_util::FutureExt as _;
use longshore_proto::Error;

/// Runs an author's future; `doing` is the call, for the error.
pub(crate) async fn caught<T>(doing: &str, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    // The value of the author may be in a half-changed state afterwards; a connector that cannot live with that aborts in its profile.
    AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|panic| Err(as_error(doing, panic.as_ref())))
}

/// What a panic is to the runtime.
pub(crate) fn as_error(doing: &str, panic: &(dyn Any + Send)) -> Error {
    Error::internal("sdk.panic", format!("the connector panicked in {doing}: {}", text_of(panic)))
        .suggest("this is a bug of the connector; its log has the place")
}

/// Panics go where the log goes, one line each.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked: {}", text_of(info.payload()));
    }));
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}
