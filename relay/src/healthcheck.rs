//! Asks the relay beside this process whether it lives; for health checks of containers without a shell.
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use crate::{
    environment::Healthcheck,
    http_get::{HttpGetError, http_get},
    lifecycle::ENDPOINTS,
};

const ANSWER: Duration = Duration::from_secs(3);
const LARGEST: usize = 1024;

#[derive(Deserialize)]
struct Endpoints {
    http: String,
}

/// Asks.
///
/// # Errors
/// When there is no answer, or another than that it lives.
pub async fn ask(settings: &Healthcheck) -> Result<(), HttpGetError> {
    let told = tokio::fs::read(settings.state_dir.join(ENDPOINTS)).await.ok();
    let told = told.and_then(|content| serde_json::from_slice::<Endpoints>(&content).ok());
    let address = told
        .and_then(|endpoints| endpoints.http.parse().ok())
        .map_or_else(|| settings.default_address(), |address| settings.reachable(address));
    let uri =
        Uri::builder().scheme("http").authority(address.to_string()).path_and_query("/").build()?;
    http_get(&uri, "/livez", ANSWER, LARGEST).await.map(drop)
}
