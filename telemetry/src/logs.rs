//! Log lines. Text is `tracing-subscriber`'s own; JSON is ours, since its fields are flat and name the trace.

pub(crate) mod json;
