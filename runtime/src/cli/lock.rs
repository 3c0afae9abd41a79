//! `longshore lock`: writes down which images a catalog means today, beside it; `run` and `check` compare.

use serde_json::json;

use super::args::{Global, LockArgs, split_words};
use super::output::{Failure, Output};
use super::{catalogs, logs};
use crate::catalog::Endpoint;
use crate::connector::Kind;
use crate::connector::container::{Pins, look_up};

pub(super) async fn lock(global: &Global, args: LockArgs, output: &Output) -> Result<(), Failure> {
    logs::start_calmly(global);
    let ([], path) = split_words(args.words, [])?;
    let catalog = catalogs::load_unlocked(&path, output)?;
    let captures = catalog.captures.iter().map(|task| (Kind::Capture, &task.endpoint));
    let materializations = catalog.materializations.iter().map(|task| (Kind::Materialize, &task.endpoint));
    let mut pins = Pins::default();
    for (kind, endpoint) in captures.chain(materializations) {
        let Endpoint::Image(image) = endpoint else { continue };
        if !pins.images.contains_key(&image.reference) {
            let pin = look_up(&image.reference, kind).await?;
            output.object("locked", json!({"image": image.reference, "is": pin.to_string()}));
            output.line(format_args!("{}  {pin}", image.reference));
            pins.images.insert(image.reference.clone(), pin);
        }
    }
    if pins.images.is_empty() {
        return Err(Failure::configuration(format!("{} names no image: there is nothing to lock", path.display())));
    }
    let written = pins.write(&path)?;
    output.line(format_args!("written to {}; keep it with the catalog", written.display()));
    Ok(())
}
