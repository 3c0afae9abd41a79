//! Log lines on stderr: one JSON object a line with `ts`, `level`, `msg` and `fields`, or text for people.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Crates whose debug output shows headers and frames, which hold the session's secret and the user's config.
const TRANSPORT: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "tokio_util"];

/// Sends all events to stderr, as `LONGSHORE_LOG` and `LONGSHORE_LOG_FORMAT` say.
pub(crate) fn install() {
    let level = std::env::var("LONGSHORE_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let quiet = level.min(LevelFilter::WARN);
    let targets = Targets::new().with_default(level).with_targets(TRANSPORT.map(|target| (target, quiet)));
    let format = match std::env::var("LONGSHORE_LOG_FORMAT").as_deref() {
        Ok("text") => Format::Text,
        Ok(_) | Err(_) => Format::Json,
    };
    if tracing_subscriber::registry().with(Lines { format }.with_filter(targets)).try_init().is_err() {
        tracing::warn!("the connector has set up logs of its own; they are kept");
    }
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Text,
}

struct Lines {
    format: Format,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut collected = Collected::default();
        event.record(&mut collected);
        let line = line(self.format, &timestamp(), event.metadata().level().as_str(), collected);
        // One write a line, so that lines of several threads do not mix. Nobody is left to tell when it fails.
        std::io::stderr().lock().write_all(line.as_bytes()).unwrap_or_default();
    }
}

fn line(format: Format, ts: &str, level: &str, collected: Collected) -> String {
    let Collected { msg, fields } = collected;
    match format {
        Format::Json => {
            let object = serde_json::json!({ "ts": ts, "level": level.to_lowercase(), "msg": msg, "fields": fields });
            format!("{object}\n")
        }
        Format::Text => {
            let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            format!("{ts} {level:5} {msg}{fields}\n")
        }
    }
}

fn timestamp() -> String {
    let mut text = String::new();
    // A string takes every write.
    SystemTime.format_time(&mut Writer::new(&mut text)).unwrap_or_default();
    text
}

#[derive(Default)]
struct Collected {
    msg: String,
    fields: Map<String, Value>,
}

impl Collected {
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // A string takes every write.
            write!(self.msg, "{value:?}").unwrap_or_default();
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.msg.push_str(value) } else { self.put(field, value.into()) }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_exactly_ts_level_msg_and_fields() {
        let fields = Map::from_iter([("rows".to_owned(), Value::from(7))]);
        let text = line(Format::Json, &timestamp(), "INFO", Collected { msg: "two\nlines".to_owned(), fields });
        assert_eq!(text.matches('\n').count(), 1);
        let parsed: Map<String, Value> = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(parsed.keys().collect::<Vec<_>>(), ["ts", "level", "msg", "fields"]);
        assert_eq!(parsed["level"], "info");
        assert_eq!(parsed["msg"], "two\nlines");
        assert_eq!(parsed["fields"]["rows"], 7);
    }
}
