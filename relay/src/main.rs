//! Laid out; what it starts follows.
fn main() {}
