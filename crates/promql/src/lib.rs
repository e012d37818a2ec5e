//! PromQL: text, tree, plan, evaluation. It reads series through [`norn_model::select`] and never sees a block, a
//! ring or a socket.

pub mod annotations;
pub mod evaluate;
pub mod functions;
pub mod kernels;
pub mod memory_store;
pub mod parse_error;
pub mod parser;
pub mod partial;
pub mod plan;
pub mod printer;
pub mod series_description;
pub mod testlang;
pub mod tree;
pub mod tree_json;
pub mod value;
pub mod walk;

mod lexer;
mod token;

#[cfg(test)]
mod golden;
