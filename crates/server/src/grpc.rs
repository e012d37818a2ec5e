//! gRPC: the services that every process has, health and reflection, and calls whose messages norn reads itself.

/// Calls with one message each way.
pub mod unary;

use norn_base::{Error, Result};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::services::ServicesView;

/// Starts a collection of gRPC services with the health service and, for tools, the reflection service in both of its
/// versions. `descriptors` are the encoded file descriptor sets of the services that reflection tells about.
///
/// The returned reporter is kept up to date by [`follow_readiness`].
pub fn base_services(descriptors: &[&'static [u8]]) -> Result<(Routes, HealthReporter)> {
    let reporter = HealthReporter::new();
    let health = HealthServer::new(HealthService::from_health_reporter(reporter.clone()));
    let reflection = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        for descriptor in descriptors {
            builder = builder.register_encoded_file_descriptor_set(descriptor);
        }
        builder
    };
    let unusable = |error| Error::internal("the descriptors of gRPC services are not usable").with_source(error);
    let v1 = reflection().build_v1().map_err(unusable)?;
    let v1alpha = reflection().build_v1alpha().map_err(unusable)?;
    Ok((Routes::new(health).add_service(v1).add_service(v1alpha), reporter))
}

/// Keeps the overall health equal to `/ready`, until the process ends. Looks again at every change of a service's
/// state, and each `interval` for reasons that come and go within a service.
pub async fn follow_readiness(view: ServicesView, reporter: HealthReporter, interval: std::time::Duration) {
    let mut changes = view.changes();
    loop {
        let status = match view.readiness() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        reporter.set_service_status("", status).await;
        // Neither a timeout nor a change is an error, and the view holds the sender, so there is no other.
        let _ = tokio::time::timeout(interval, changes.changed()).await;
    }
}
