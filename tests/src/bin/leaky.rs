//! A capture that cannot keep a secret: it tells the one in its config wherever a connector can say anything, one way a task, as a
//! careless or malicious one would. What the canary needs to see that nobody hears of it.

use std::io::Write as _;
use std::process::ExitCode;

use longshore_proto::state::StatePatch;
use longshore_sdk::binding::Proposed;
use longshore_sdk::capture::{Applied, Apply, Capture, CaptureSpec, Checkpoint, Discovered, Emitter, PullOpen};
use longshore_sdk::finding::{self, Finding};
use longshore_sdk::{Error, ErrorKind, Progress, Result, Secret};
use longshore_tests::canary::written;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Longer lines of a connector are cut, in bytes.
const LINE_MAX_BYTES: usize = 16 << 10;
/// Longer messages of an error are cut, in bytes.
const MESSAGE_MAX_BYTES: usize = 2048;

fn main() -> ExitCode {
    longshore_sdk::serve_capture(Leaky)
}

struct Leaky;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What is told.
    secret: Secret<String>,
    /// Where: the stage, and the way.
    leak: String,
    /// How it is written: plain, json, url or base64.
    form: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resource {
    #[expect(dead_code, reason = "it only names the binding")]
    stream: String,
}

impl Config {
    /// The secret, as it is to be written.
    fn told(&self) -> String {
        written(self.secret.expose(), &self.form)
    }

    /// The way, if this is its stage.
    fn at(&self, stage: &str) -> &str {
        self.leak.strip_prefix(stage).unwrap_or_default()
    }

    /// What ends a call, if that is the way: an error of a kind, a panic, or the end of the process.
    fn fail(&self, way: &str) -> Result<()> {
        let told = self.told();
        let kind = match way {
            "config" => ErrorKind::Config,
            "unavailable" => ErrorKind::Unavailable,
            "data" => ErrorKind::Data,
            "internal" => ErrorKind::Internal,
            "protocol" => ErrorKind::Protocol,
            "fenced" => ErrorKind::Fenced,
            "code" => return Err(Error::data(format!("leaky.{told}"), "see the code")),
            "pointer" => return Err(Error::data("leaky", "see the place").at_pointer(format!("/{told}"))),
            "suggestion" => return Err(Error::data("leaky", "see below").suggest(format!("try {told}"))),
            // Cut within the secret, behind its tenth letter.
            "long" => {
                let before = "x".repeat(MESSAGE_MAX_BYTES - '…'.len_utf8() - 11);
                return Err(Error::data("leaky", format!("{before} {told}{told}")));
            }
            "panic" => panic!("it is {told}"),
            "panic-debug" => panic!("it is {:?}", Some(self.secret.expose())),
            "exit" => {
                write(format!("giving up on {told}\n").as_bytes());
                std::process::exit(3);
            }
            "abort" => {
                write(told.as_bytes());
                std::process::abort();
            }
            _ => return Ok(()),
        };
        Err(Error::new(kind, "leaky.error", format!("cannot log in with {told}")).suggest(format!("change {told}")))
    }

    fn schema(&self, stage: &str) -> Value {
        let mut properties = json!({ "id": { "type": "integer" } });
        if self.at(stage) == "schema" {
            let (description, default) = (format!("of {}", self.told()), self.told());
            properties["more"] = json!({ "type": "string", "description": description, "default": default });
        }
        json!({ "type": "object", "properties": properties })
    }
}

impl Capture for Leaky {
    type Config = Config;
    type Resource = Resource;

    fn spec(&self) -> CaptureSpec {
        CaptureSpec::new("leaky", env!("CARGO_PKG_VERSION")).resource_path(["/stream"])
    }

    async fn discover(&self, config: Config, asked: Vec<Resource>) -> Result<Vec<Discovered>> {
        let way = config.at("discover-");
        config.fail(way)?;
        let mut resource = json!({ "stream": "s" });
        if way == "resource" && asked.is_empty() {
            resource["stream"] = config.told().into();
        }
        let found = Discovered::new("s", resource, config.schema("discover-")).key(["/id"]);
        Ok(vec![if way == "note" { found.note(config.told()) } else { found }])
    }

    async fn validate(&self, config: Config, _: Vec<Proposed<Resource>>) -> Result<Vec<Finding>> {
        let way = config.at("validate-");
        config.fail(way)?;
        let told = config.told();
        let error = Error::config(format!("leaky.{told}"), format!("not {told}")).suggest(format!("but {told}"));
        Ok(match way {
            "finding" => vec![finding::error(error)],
            "finding-pointer" => vec![finding::error(error.at_pointer(format!("/secret/{told}")))],
            "warning" => vec![finding::warning(error)],
            _ => Vec::new(),
        })
    }

    async fn apply(&self, apply: Apply<Config, Resource>) -> Result<Applied> {
        let config = apply.config;
        let way = config.at("apply-");
        config.fail(way)?;
        let actions = if way == "actions" { vec![format!("make {}", config.told())] } else { Vec::new() };
        let state = json!({ "made": if way == "state" { config.told() } else { String::new() } });
        Ok(Applied { actions, state_patch: StatePatch::new().with_task(state.to_string().as_bytes())? })
    }

    async fn pull(&self, open: PullOpen<Config, Resource>, mut emitter: Emitter) -> Result<()> {
        let config = open.config;
        let told = config.told();
        config.fail(config.at("open-"))?;
        say(config.at("log-"), &told);
        emitter.document(0, &json!({ "id": 1 })).await?;
        match config.at("pull-") {
            "doing" | "wait" => {
                emitter.progress(Progress { doing: format!("using {told}"), ..Progress::default() }).await?
            }
            "schema" => emitter.schema(0, &config.schema("pull-")).await?,
            _ => {}
        }
        let checkpoint = match config.at("pull-") {
            "state" => Checkpoint::new().task(&json!({ "task": told })).binding(0, &json!({ "binding": told })),
            "state-key" => Checkpoint::new().binding(0, &json!({ told.clone(): 1 })),
            _ => Checkpoint::new(),
        };
        emitter.flush().await?;
        config.fail(config.at("pull-"))?;
        emitter.checkpoint(checkpoint.caught_up()).await?;
        if config.at("pull-") == "wait" {
            say("json", &told);
            emitter.stop().requested().await;
        }
        Ok(())
    }
}

/// Says it on standard error, or on standard output, in one of many ways.
fn say(way: &str, told: &str) {
    let json =
        |msg: &str, fields: Value| json!({ "ts": "t", "level": "warn", "msg": msg, "fields": fields }).to_string();
    let line = match way {
        "raw" => format!("password is {told}\n"),
        "json" => json(&format!("password is {told}"), json!({})) + "\n",
        "fields" => json("login", json!({ "password": told, "list": [{ "again": told }] })) + "\n",
        // A service's answer in an error in a log line.
        "nested" => {
            json("login", json!({ "answer": json!({ "body": json!({ "password": told }).to_string() }).to_string() }))
                + "\n"
        }
        "tracing" => {
            tracing::error!(password = told, "with {told}");
            tracing::warn!("with {told}");
            tracing::info!(?told, "login");
            tracing::debug!("with {told}");
            tracing::trace!("with {told}");
            return;
        }
        "cut" => format!("{} {told} and more\n", "x".repeat(LINE_MAX_BYTES - 11)),
        "json-cut" => json(&format!("{} {told} and more", "x".repeat(LINE_MAX_BYTES - 50)), json!({})) + "\n",
        "long" => format!("{} {told} {}\n", "x".repeat(9 << 10), "y".repeat(100 << 10)),
        "chunks" => {
            // In two writes, far enough from each other to be read as two.
            let (first, second) = told.split_at(told.floor_char_boundary(told.len() / 2));
            write(format!("password is {first}").as_bytes());
            std::thread::park_timeout(std::time::Duration::from_millis(50));
            format!("{second}\n")
        }
        "control" => format!("\x1b[31m{told}\x1b[0m\u{202e}\r\n"),
        "not-utf8" => {
            write(b"\xff\xfe");
            write(told.as_bytes());
            write(b"\xe2\x28\n");
            return;
        }
        "unicode" => {
            let escaped: String = told.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("{{\"ts\":\"t\",\"level\":\"error\",\"msg\":\"{escaped}\",\"fields\":{{\"a\":\"{escaped}\"}}}}\n")
        }
        "debug" => format!("{:?}\n", Some(told)),
        "no-end" => told.to_owned(),
        "flood" => format!("{told}\n").repeat(3_000),
        "stdout" => {
            // Nobody reads it.
            std::io::stdout().write_all(told.as_bytes()).unwrap_or_default();
            return;
        }
        _ => return,
    };
    write(line.as_bytes());
}

fn write(bytes: &[u8]) {
    // Nobody is left to tell when it fails.
    std::io::stderr().lock().write_all(bytes).unwrap_or_default();
}
