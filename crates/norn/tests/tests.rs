//! Tests of the whole program, as a process: what a user types and what a client sees.

#![expect(clippy::unwrap_used, reason = "what a test cannot go on without ends it")]

#[path = "system/client.rs"]
mod client;

#[path = "system/harness.rs"]
mod harness;

#[path = "system/command_line.rs"]
mod command_line;

#[path = "system/write_and_query.rs"]
mod write_and_query;

// What goes wrong around the program.
#[path = "system/damage.rs"]
mod damage;

#[path = "system/full_disk.rs"]
mod full_disk;

#[path = "system/kill.rs"]
mod kill;
