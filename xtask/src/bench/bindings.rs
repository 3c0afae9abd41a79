//! K1: the same documents through a thousand bindings and through one. What a binding costs beyond its documents.

use serde_json::json;

use super::{Better, Bins, Figure, NullFlow, PAIRS, null_flow, spread};
use crate::Problem;

const BINDINGS: u64 = 1_000;
/// Batches in all.
const BATCHES: u64 = 8_000;
const DOCUMENT_BYTES: u64 = 200;
/// 100 kB each.
const IN_BATCH: u64 = 500;

pub(super) fn many(bins: &Bins) -> Result<Figure, Problem> {
    let flow = |bindings: u64| NullFlow {
        bytes: DOCUMENT_BYTES,
        in_batch: IN_BATCH,
        count: BATCHES / bindings,
        bindings,
        // As many documents between two checkpoints.
        per_checkpoint: (BINDINGS / bindings).min(BATCHES / bindings),
    };
    let (one, thousand) = (flow(1), flow(BINDINGS));
    println!("{:>6} {:>14} {:>16} {:>7}", "run", "1 binding ns", "1,000 bindings", "ratio");
    let (mut ratios, mut noise, mut ones, mut thousands) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=PAIRS {
        let (first, many, again) = (null_flow(bins, &one)?, null_flow(bins, &thousand)?, null_flow(bins, &one)?);
        println!("{turn:>6} {first:>14.0} {many:>16.0} {:>7.2}", many / first);
        ratios.push(many / first);
        noise.push(again / first);
        ones.push(first);
        thousands.push(many);
    }
    let more = json!({
        "documents": one.documents(), "one_ns": spread(ones).median.round(), "thousand_ns": spread(thousands).median.round(),
    });
    let aa = spread(noise).median;
    Ok(Figure {
        ratio: spread(ratios),
        aa,
        better: Better::Lower,
        also: true,
        floor: 1.5,
        goal: 1.15,
        unit: None,
        more,
    })
}
