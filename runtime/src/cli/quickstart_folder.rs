//! The folder that `longshore quickstart` makes: its files are in this binary, and nothing that is there is written over.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::output::Failure;
use super::shell;
use crate::journal::is_full;

/// The names of what lies in it.
pub(super) const CATALOG: &str = "longshore.yaml";
pub(super) const DATABASE: &str = "nyc.db";
pub(super) const DATA: &str = "data";

pub(super) const CATALOG_TEXT: &str = include_str!("../../../examples/quickstart/longshore.yaml");

/// Below [`DATA`]. The largest is packed, which the connector reads as it is.
const FILES: [(&str, &[u8]); 3] = [
    ("flights.csv.zst", include_bytes!("../../../examples/quickstart/flights.csv.zst")),
    ("airports.csv", include_bytes!("../../../examples/nyc-flights/airports.csv")),
    ("airlines.csv", include_bytes!("../../../examples/nyc-flights/airlines.csv")),
];

/// Makes the folder, or fills one that is empty. The catalog comes last: where it is, all is.
pub(super) fn lay_out(directory: &Path) -> Result<(), Failure> {
    let made = make(directory)?;
    write_all(directory).map_err(|(path, error)| {
        if made {
            // Nobody else has anything in it.
            drop(fs::remove_dir_all(directory));
        }
        cannot(&path, &error)
    })
}

/// True: it was not there before.
fn make(directory: &Path) -> Result<bool, Failure> {
    let above = directory.parent().filter(|above| !above.as_os_str().is_empty());
    let made = above.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::create_dir(directory));
    match made {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::read_dir(directory).map(Iterator::count) {
                Ok(0) => Ok(false),
                Ok(_) => Err(is_there(directory)),
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(is_there(directory)),
                Err(error) => Err(cannot(directory, &error)),
            }
        }
        Err(error) => Err(cannot(directory, &error)),
    }
}

fn is_there(directory: &Path) -> Failure {
    let name = directory.display();
    let catalog = directory.join(CATALOG);
    if fs::read_to_string(&catalog).is_ok_and(|text| text == CATALOG_TEXT) {
        let catalog = shell::quoted(&catalog.display().to_string());
        return Failure::configuration(format!("{name} is there already, from a quickstart before; it was left as it is")).help(format!(
            "`longshore run --until caught-up {catalog}` runs it again\n  `longshore quickstart --into DIR` begins in another folder"
        ));
    }
    Failure::configuration(format!("{name} is there already, and nothing in it is written over"))
        .help("name a new folder: `longshore quickstart --into DIR`")
}

fn write_all(directory: &Path) -> Result<(), (PathBuf, io::Error)> {
    let data = directory.join(DATA);
    fs::create_dir(&data).map_err(|error| (data.clone(), error))?;
    let files = FILES.iter().map(|(name, content)| (data.join(name), *content));
    for (path, content) in files.chain([(directory.join(CATALOG), CATALOG_TEXT.as_bytes())]) {
        // Whoever puts a file there meanwhile keeps it.
        let written = fs::File::create_new(&path).and_then(|mut file| file.write_all(content));
        written.map_err(|error| (path, error))?;
    }
    Ok(())
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    let failure = if is_full(error) { Failure::running } else { Failure::configuration };
    failure(format!("cannot make {}: {error}", path.display()))
        .help("name a folder that you may write: `longshore quickstart --into DIR`")
}
