//! Generates the Rust of the `.proto` files without protoc: protox compiles them, tonic's generator writes the code.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 3] = [
        "longshore/common/v1/common.proto",
        "longshore/capture/v1/capture.proto",
        "longshore/materialize/v1/materialize.proto",
    ];
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, [Path::new(".")])?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
