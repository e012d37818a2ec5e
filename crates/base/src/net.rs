//! The sockets of norn's own protocols.
//!
//! Listeners, gRPC clients and gossip take their sockets from here and nowhere else, so that a simulated network
//! can stand in for the machine's: it has types of the same names and calls. Object stores bring their own HTTP
//! client and are simulated as a whole.

pub use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
