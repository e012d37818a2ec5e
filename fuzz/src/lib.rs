//! Every decoder that bytes from outside reach, as a function of bytes, and a loop that feeds them damaged inputs.
//!
//! A target may refuse its input, and must not panic, hang or take memory that is out of proportion to it. Inputs are
//! mutations of seeds: valid ones that the project's own encoders make, so that they get past the first bytes. A run is
//! determined by its seed. Nothing here needs a nightly toolchain; the targets have the form that coverage-guided
//! fuzzers call.

// What is fed.
pub mod targets;

// Valid inputs to start from.
pub mod seeds;

// How inputs are damaged, and the loop.
pub mod mutate;
pub mod run;
