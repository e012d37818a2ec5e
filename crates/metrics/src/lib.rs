//! The metrics signal: its roles and their HTTP API.
//!
//! A sample's way in: [`distributor`] → [`ingester`]. A query's way: [`frontend`] → [`querier`] → ingesters and
//! [`store_gateway`]. In the background: [`shipper`] and [`compactor`]. Roles call each other through the traits of
//! [`reader`] and [`distributor::client`], never directly.

pub mod reader;

pub mod distributor;
pub mod otlp;

pub mod api;
pub mod blocks;
pub mod compactor;
mod concurrency;
pub mod frontend;
pub mod ingester;
pub mod membership;
pub mod own;
pub mod querier;
pub mod store_gateway;
pub mod usage;
