//! Benches of the heap profile.
fn main() {}
