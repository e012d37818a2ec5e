//! PromQL: text, tree, plan, evaluation. It reads series through [`norn_model::select`] and never sees a block, a
//! ring or a socket.

pub mod annotations;
pub mod functions;
pub mod kernels;
pub mod parse_error;
pub mod parser;
pub mod series_description;
pub mod tree;

mod lexer;
mod token;
