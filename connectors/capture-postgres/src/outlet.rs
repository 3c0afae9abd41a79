//! Where the documents of a binding go out: written by the columns of their row, with the schema stated before the first that needs it.

use std::sync::Arc;

use longshore_sdk::Result;
use longshore_sdk::capture::Emitter;

use crate::layout::{Found, Layout, Op};
use crate::rows::Row;
use crate::shape::Shape;

/// A document to be.
pub(crate) struct Document<'r> {
    pub(crate) layout: &'r Arc<Layout>,
    pub(crate) op: Op,
    pub(crate) found: &'r Found,
    pub(crate) cells: Row<'r>,
    /// Nothing else of the row is known.
    pub(crate) keys_only: bool,
}

/// Of one binding.
#[derive(Debug)]
pub(crate) struct Outlet {
    binding: usize,
    shape: Shape,
    /// Whose columns the shape has adopted.
    adopted: Option<Arc<Layout>>,
}

impl Outlet {
    /// `schema_json` is the collection's, as the session was opened with it.
    pub(crate) fn new(binding: usize, schema_json: &[u8]) -> Outlet {
        Outlet { binding, shape: Shape::new(schema_json), adopted: None }
    }

    /// Emits a document, and says how many bytes it has. `scratch` is where it is written.
    pub(crate) async fn emit(
        &mut self,
        emitter: &mut Emitter,
        document: Document<'_>,
        scratch: &mut Vec<u8>,
    ) -> Result<usize> {
        let Document { layout, op, found, cells, keys_only } = document;
        if !self.adopted.as_ref().is_some_and(|adopted| Arc::ptr_eq(adopted, layout)) {
            self.shape.adopt(layout);
            self.adopted = Some(Arc::clone(layout));
        }
        scratch.clear();
        let written = layout.write((op, found), cells, keys_only, &mut self.shape, scratch);
        written.map_err(|error| error.at_binding(self.binding))?;
        if self.shape.behind() {
            let schema = self.shape.restate();
            emitter.schema(self.binding, &schema).await?;
        }
        emitter.raw(self.binding, scratch).await?;
        Ok(scratch.len())
    }
}
