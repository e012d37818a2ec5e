//! PromQL: text, tree, plan, evaluation. It reads series through [`norn_model::select`] and never sees a block, a
//! ring or a socket.

pub mod functions;
pub mod tree;
