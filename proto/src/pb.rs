//! The generated wire types and gRPC stubs, by package. Parse them at the edge; do not pass them on.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub, clippy::all, clippy::pedantic)]

pub mod common {
    pub mod v1 {
        tonic::include_proto!("longshore.common.v1");
    }
}
pub mod capture {
    pub mod v1 {
        tonic::include_proto!("longshore.capture.v1");
    }
}
pub mod materialize {
    pub mod v1 {
        tonic::include_proto!("longshore.materialize.v1");
    }
}
