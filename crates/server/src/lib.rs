//! The process around the roles: listeners, tenants, bodies, errors, norn's own telemetry, admin pages, lifecycle.
//!
//! This crate knows no role and no signal. The binary hands it routes and services as values.

pub mod activity;
pub mod admin;
pub mod app;
pub mod body;
pub mod errors;
pub mod grpc;
pub mod listener;
pub mod logging;
pub mod services;
pub mod telemetry;
pub mod tenant;
