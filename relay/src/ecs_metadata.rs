//! What ECS says of the task that this process is in: labels, and the address that workloads reach.
//!
//! A metadata endpoint that is missing, slow or confused costs labels, never the start.
use std::{net::IpAddr, time::Duration};

use http::Uri;
use serde::Deserialize;

use crate::http_get::{HttpGetError, http_get};

const ANSWER: Duration = Duration::from_secs(2);
const LARGEST: usize = 256 * 1024;

/// What is known of the task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Its ARN.
    pub arn: Option<String>,
    /// The name of its availability zone.
    pub zone: Option<String>,
    /// Its first IPv4 address.
    pub address: Option<IpAddr>,
    /// Whether ECS wants it to stop.
    pub stops: bool,
}

impl Task {
    /// The task's id: the last part of its ARN.
    pub fn id(&self) -> Option<&str> {
        self.arn.as_deref()?.rsplit('/').next().filter(|id| !id.is_empty())
    }

    /// The region it runs in: the fourth part of its ARN.
    pub fn region(&self) -> Option<&str> {
        self.arn.as_deref()?.split(':').nth(3).filter(|region| !region.is_empty())
    }
}

/// Why nothing is known.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// The endpoint did not answer as it should.
    #[error("the task metadata endpoint does not answer")]
    Http(#[from] HttpGetError),
    /// It said something else.
    #[error("the task metadata endpoint's answer cannot be read")]
    Garbage(#[from] serde_json::Error),
}

/// Task metadata version 4, as far as it matters here (Amazon ECS Developer Guide, "Task metadata endpoint v4").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(rename = "TaskARN")]
    task_arn: Option<String>,
    availability_zone: Option<String>,
    desired_status: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    #[serde(default)]
    networks: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    #[serde(rename = "IPv4Addresses", default)]
    ipv4_addresses: Vec<String>,
}

/// Asks the endpoint at `base`, the value of `ECS_CONTAINER_METADATA_URI_V4`.
///
/// # Errors
/// [`MetadataError`] when it does not answer within 2 s, or says something else.
pub async fn task(base: &Uri) -> Result<Task, MetadataError> {
    let path = format!("{}/task", base.path().trim_end_matches('/'));
    let answer = http_get(base, &path, ANSWER, LARGEST).await?;
    read(&answer)
}

fn read(answer: &[u8]) -> Result<Task, MetadataError> {
    let answer: Answer = serde_json::from_slice(answer)?;
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut addresses = answer
        .containers
        .iter()
        .flat_map(|container| &container.networks)
        .flat_map(|n| &n.ipv4_addresses);
    Ok(Task {
        arn: present(answer.task_arn),
        stops: answer.desired_status.as_deref() == Some("STOPPED"),
        zone: present(answer.availability_zone),
        address: addresses.find_map(|address| address.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_the_zone_and_the_task_are_found() {
        let answer = br#"{"Cluster":"relays","TaskARN":"arn:aws:ecs:ap-northeast-1:123456789012:task/relays/0a1b",
            "AvailabilityZone":"ap-northeast-1a","Containers":[{"Name":"sidecar"},
            {"Name":"relay","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.1.17"]}]}]}"#;
        let task = read(answer).unwrap();
        assert_eq!((task.id(), task.region()), (Some("0a1b"), Some("ap-northeast-1")));
        assert_eq!(task.zone.as_deref(), Some("ap-northeast-1a"));
        assert_eq!(task.address, Some("10.0.1.17".parse().unwrap()));
    }

    #[test]
    fn what_is_missing_costs_only_labels() {
        let nothing = Task::default();
        assert_eq!(read(br#"{"AvailabilityZone":"","Containers":[]}"#).unwrap(), nothing);
        assert_eq!((nothing.id(), nothing.region()), (None, None));
        assert!(read(b"<html>").is_err());
    }
}
