//! norn
fn main() {}
