//! `longshore schema`: what `check` accepts an editor accepts, for every catalog that is written down here, with the connectors' own settings.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use jsonschema::Validator;
use longshore_tests::catalogs::{Case, changes};
use longshore_tests::dice::Dice;
use longshore_tests::scene::{Scene, repository};
use serde_json::{Value, json};

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let printed = Scene::new().longshore(["schema"]).expect_code(0);
        assert_eq!(printed.stderr, "", "every connector answers");
        serde_json::from_str(&printed.stdout).expect("JSON")
    })
}

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| jsonschema::options().offline().build(schema()).expect("a schema of 2020-12"))
}

/// What an editor would underline.
fn wrong(catalog: &Value) -> Vec<String> {
    validator().iter_errors(catalog).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn yaml(text: &str) -> Option<Value> {
    serde_saphyr::from_str(text).ok()
}

fn is_catalog(value: &Value) -> bool {
    value.get("captures").is_some() || value.get("materializations").is_some()
}

/// Files that git tracks or would.
fn files(ending: &str) -> Vec<PathBuf> {
    let mut git = Command::new("git");
    git.current_dir(repository()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let listed = String::from_utf8(git.output().expect("git lists").stdout).expect("names are text");
    listed.lines().filter(|name| name.ends_with(ending)).map(|name| repository().join(name)).collect()
}

#[test]
fn every_catalog_of_the_examples_is_accepted() {
    let mut seen = 0;
    for path in files(".yaml").into_iter().filter(|path| path.starts_with(repository().join("examples"))) {
        let text = std::fs::read_to_string(&path).expect("read a file");
        let Some(catalog) = yaml(&text).filter(is_catalog) else { continue };
        seen += 1;
        assert_eq!(wrong(&catalog), Vec::<String>::new(), "{}", path.display());
    }
    assert!(seen >= 2, "{seen} catalogs");
}

#[test]
fn every_catalog_of_a_readme_is_accepted() {
    let mut seen = 0;
    for path in files(".md") {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let blocks = text.split("\n```").collect::<Vec<_>>();
        let blocks = blocks.iter().filter_map(|block| block.strip_prefix("yaml\n"));
        let documents = text.split("<<'YAML'\n").skip(1).filter_map(|rest| rest.split("\nYAML").next());
        for catalog in blocks.chain(documents).filter_map(yaml).filter(is_catalog) {
            seen += 1;
            assert_eq!(wrong(&catalog), Vec::<String>::new(), "{}: {catalog:#}", path.display());
        }
    }
    assert!(seen >= 8, "{seen} catalogs");
}

/// Each catalog that `check` accepts (among them some that look odd) passes; of those that it refuses, some do not.
#[test]
fn what_check_accepts_is_accepted() {
    let changes = changes();
    let (mut accepted, mut refused) = (0, 0);
    for number in (0..changes.len()).step_by(3) {
        let case = Case::of(number, &changes, &mut Dice::new(number as u64));
        assert_eq!(wrong(&case.before), Vec::<String>::new(), "{:#}", case.before);
        let scene = Scene::new();
        case.begin(&scene);
        case.change(&scene);
        if scene.longshore(["check"]).code == Some(0) {
            accepted += 1;
            assert_eq!(wrong(&case.catalog), Vec::<String>::new(), "{}\n{:#}", case.changes.join("; "), case.catalog);
        } else {
            refused += usize::from(!wrong(&case.catalog).is_empty());
        }
    }
    assert!(accepted >= 10 && refused >= 5, "{accepted} accepted, and of those refused {refused} seen");
}

#[test]
fn the_settings_of_each_connector_are_in_it() {
    let catalog = |config: Value, resource: Value| {
        let binding = json!({ "resource": resource, "collection": "a/b" });
        json!({ "captures": { "a": { "connector": "files", "config": config, "bindings": [binding] } } })
    };
    let glob = json!({ "glob": "*.csv" });
    assert_eq!(wrong(&catalog(json!({ "path": "./data", "format": "csv" }), glob.clone())), Vec::<String>::new());
    for config in [json!({ "path": "./data", "format": "xml" }), json!({ "paht": "./data" }), json!({})] {
        assert!(!wrong(&catalog(config.clone(), glob.clone())).is_empty(), "{config}");
    }
    assert!(!wrong(&catalog(json!({ "path": "." }), json!({ "table": "x" }))).is_empty());
    let path = &schema()["$defs"]["capture-files.config"]["properties"]["path"];
    assert_eq!(path["description"], "Directory that holds the files, relative to the catalog.");
    let names = &schema()["$defs"]["materialization"]["properties"]["connector"]["anyOf"][0]["enum"];
    assert!(names.as_array().is_some_and(|names| names.contains(&json!("sqlite"))), "{names}");
    let bare: Value =
        serde_json::from_str(&Scene::new().longshore(["schema", "--bare"]).expect_code(0).stdout).expect("JSON");
    assert!(bare["$defs"].get("capture-files.config").is_none() && bare["$defs"].get("capture").is_some());
}

/// What `init` writes can be edited with it.
#[test]
fn what_init_writes_is_accepted() {
    let scene = Scene::new();
    scene.write("data/a.csv", "id\n1\n");
    for to in ["sqlite:./a.db", "files:./out"] {
        let file = format!("{}.yaml", &to[..5]);
        scene.longshore(["init", "data", "--to", to, "-o", &file]).expect_code(0);
        let catalog = yaml(&std::fs::read_to_string(scene.join(&file)).expect("the catalog")).expect("YAML");
        assert_eq!(wrong(&catalog), Vec::<String>::new());
    }
}

/// Examples of `--help` that read nothing and change nothing do what they say.
#[test]
fn examples_without_a_catalog_work() {
    let mut ran = 0;
    for words in ["connector list", "connector spec", "schema", "completions"] {
        let scene = Scene::new();
        let help = scene.longshore(words.split(' ').chain(["--help"])).expect_code(0).stdout;
        let examples = help.split_once("Examples:\n").expect("examples").1;
        for line in examples.lines().take_while(|line| !line.is_empty()) {
            let command = line.trim().split("   ").next().unwrap_or_default();
            let mut bash = Command::new("bash");
            bash.args(["-c", command]).env("HOME", scene.path());
            for folder in [".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"] {
                std::fs::create_dir_all(scene.join(folder)).expect("make a directory");
            }
            scene.start_command(bash).finish().expect_code(0);
            ran += 1;
        }
    }
    assert!(ran >= 8, "{ran} examples");
}
