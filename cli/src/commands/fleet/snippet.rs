//! What a workload's task needs to send through a fleet, ready to paste.
use aws_lc_rs::digest::{SHA256, digest};
use clap::{Args, ValueEnum};
use ekiden_proto::{
    admin::v1::Fleet,
    settings::v1::{Listener, ListenerProtocol},
};
use serde_json::json;

use crate::failure::Failure;

/// Which lines.
#[derive(Debug, Default, Args)]
pub struct Wanted {
    /// Name of the workload, e.g. of its service: where the fleet has cells it is given one, always the same.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// One listener of the fleet; without it all of them.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// What the workload runs; without it OpenTelemetry for OTLP listeners and the vendor's workload agent for TCP ones.
    #[arg(long, value_name = "PROGRAM")]
    program: Option<Program>,
    /// How to write it.
    #[arg(long = "as", value_name = "FORM", default_value_t, value_enum)]
    form: Form,
}

/// What sends telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Program {
    /// An OpenTelemetry SDK or collector.
    Otel,
    /// The vendor's workload agent, 6.0 and later.
    Agent6,
    /// The vendor's workload agent, 5.x and earlier, with orchestrators behind the relay.
    Agent5,
}

/// How to write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// Lines for a shell or an env file.
    #[default]
    Env,
    /// The `environment` of an ECS container definition.
    Ecs,
}

/// Writes it.
pub(super) fn write(fleet: &Fleet, wanted: &Wanted) -> Result<String, Failure> {
    let host = host(fleet, wanted.workload.as_deref())?;
    let chosen =
        |listener: &&Listener| wanted.listener.as_ref().is_none_or(|name| *name == listener.name);
    let listeners: Vec<&Listener> = fleet.listeners.iter().filter(chosen).collect();
    if listeners.is_empty() {
        return Err(Failure::usage(
            format!("{} has no such listener", fleet.name),
            format!("`ekidenctl fleet get {}` shows its listeners", fleet.name),
        ));
    }
    let mut variables: Vec<(&str, String)> = Vec::new();
    for listener in listeners {
        for (name, value) in lines(listener, host, wanted.program) {
            if variables.iter().any(|(there, _)| *there == name) {
                return Err(Failure::usage(
                    format!("two listeners of {} would both set {name}", fleet.name),
                    "choose one with `--listener NAME`",
                ));
            }
            variables.push((name, value));
        }
    }
    Ok(match wanted.form {
        Form::Env => variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect(),
        Form::Ecs => {
            let list: Vec<_> = variables
                .iter()
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect();
            format!("{:#}", json!({ "environment": list }))
        }
    })
}

/// The name that the workload resolves: its cell's, or the fleet's own.
fn host<'a>(fleet: &'a Fleet, workload: Option<&str>) -> Result<&'a str, Failure> {
    let cloud_map = fleet.discovery.as_ref().and_then(|discovery| discovery.cloud_map.as_ref());
    let Some(cloud_map) = cloud_map else {
        return Err(Failure::usage(
            format!("{} has no DNS name", fleet.name),
            "give it one: `ekidenctl fleet update FLEET --cloud-map-service ID --dns-name NAME`",
        ));
    };
    let own = &cloud_map.dns_name;
    let of_cell = workload.and_then(|workload| {
        // Rendezvous hashing: another cell more moves only the workloads that it takes.
        cloud_map.cells.iter().max_by_key(|cell| weight(&cell.service_id, workload))
    });
    Ok(of_cell.map_or(own, |cell| &cell.dns_name).trim_end_matches('.'))
}

fn weight(service: &str, workload: &str) -> Vec<u8> {
    digest(&SHA256, format!("{service}\n{workload}").as_bytes()).as_ref().to_vec()
}

fn lines(listener: &Listener, host: &str, program: Option<Program>) -> Vec<(&'static str, String)> {
    let program = program.unwrap_or(match listener.protocol() {
        ListenerProtocol::Otlp => Program::Otel,
        ListenerProtocol::Tcp | ListenerProtocol::Unspecified => Program::Agent6,
    });
    let port = listener.port.to_string();
    match program {
        Program::Otel => vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{host}:{port}")),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
        ],
        Program::Agent6 => {
            vec![("SYSDIG_COLLECTOR", host.to_owned()), ("SYSDIG_COLLECTOR_PORT", port)]
        }
        Program::Agent5 => {
            vec![("SYSDIG_ORCHESTRATOR", host.to_owned()), ("SYSDIG_ORCHESTRATOR_PORT", port)]
        }
    }
}
