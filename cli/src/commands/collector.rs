//! `ekidenctl collector`.
use clap::Subcommand;
use ekiden_proto::{
    admin::v1::{
        Collector, CollectorPreset, CreateCollectorRequest, DeleteCollectorRequest,
        GetCollectorRequest, ListCollectorPresetsRequest, ListCollectorsRequest,
        ListCollectorsResponse, UpdateCollectorRequest,
        collector_service_client::CollectorServiceClient,
    },
    settings::v1::{CollectorProtocol, Endpoint},
};
use time::OffsetDateTime;

use super::{incomplete, mask, word};
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age, duration},
        table::{Details, Table},
    },
    session::{Session, Wire},
};

mod shape;

pub use shape::{Removal, Shape};

/// What to do with collectors.
#[derive(Debug, Subcommand)]
pub enum CollectorVerb {
    /// Makes a collector, from a preset or from its endpoints.
    #[command(after_help = "\
Examples:
  ekidenctl collector create us4 --preset sysdig-us4 --access-key sysdig
  ekidenctl collector create honeycomb --preset honeycomb --access-key honeycomb
  ekidenctl collector create own --protocol otlp-grpc --tls --access-key own --key-header api-key \\
    --endpoint otel-a.example:4317 --endpoint otel-b.example:4317,10
  ekidenctl collector presets                        Shows what presets fill in")]
    Create {
        /// Its id: a-z, 0-9 and -, a letter first.
        id: String,
        /// Vendor whose endpoints and header are known; see `presets`. Other options win over it.
        #[arg(
            long,
            default_value = "",
            hide_default_value = true,
            value_name = "PRESET",
            required_unless_present = "endpoint"
        )]
        preset: String,
        #[command(flatten)]
        shape: Box<Shape>,
    },
    /// Shows one.
    #[command(after_help = "Examples:\n  ekidenctl collector get us4 -o yaml")]
    Get {
        /// Its name.
        name: String,
    },
    /// Lists the tenant's.
    #[command(
        after_help = "Examples:\n  ekidenctl collector list\n  ekidenctl collector list --tenant -"
    )]
    List {
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Changes what is given; fleets that use it get a new revision at once.
    #[command(after_help = "\
Examples:
  ekidenctl collector update us4 --endpoint ingest-alt.us4.sysdig.com:6443
  ekidenctl collector update own --no-tls --validate-only")]
    Update {
        /// Its name.
        name: String,
        #[command(flatten)]
        shape: Box<Shape>,
        #[command(flatten)]
        removal: Removal,
    },
    /// Deletes one that no listener uses.
    #[command(after_help = "Examples:\n  ekidenctl collector delete us4")]
    Delete {
        /// Its name.
        name: String,
        /// Only if it is still what was read with this etag.
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Lists the vendors whose endpoints and headers are known.
    #[command(
        after_help = "Examples:\n  ekidenctl collector presets\n  ekidenctl collector presets -o yaml"
    )]
    Presets,
}

fn client(session: &Session) -> CollectorServiceClient<Wire> {
    CollectorServiceClient::new(session.wire())
}

pub(super) async fn run(verb: CollectorVerb, session: &Session) -> Result<(), Failure> {
    let name = |given: &str| session.names.resolve(Kind::Collector, given, None);
    match verb {
        CollectorVerb::Create { id, preset, shape } => {
            let mut collector = Collector { preset, ..Collector::default() };
            shape.apply(&mut collector, &session.names)?;
            let request = CreateCollectorRequest {
                parent: session.names.one_tenant()?,
                collector_id: id,
                collector: Some(collector),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).create_collector(r).await)
                .await?;
            show(session, answer.collector)
        }
        CollectorVerb::Get { name: given } => {
            show(session, Some(get(session, name(&given)?).await?))
        }
        CollectorVerb::List { limit } => list(session, limit).await,
        CollectorVerb::Update { name: given, shape, removal } => {
            // The etag of what is read here keeps a change in between from being overwritten.
            let mut collector = get(session, name(&given)?).await?;
            let mut paths = shape.apply(&mut collector, &session.names)?;
            paths.extend(removal.apply(&mut collector));
            if paths.is_empty() {
                return Err(Failure::usage(
                    "nothing to change",
                    "`ekidenctl collector update --help` shows what can be changed",
                ));
            }
            let request = UpdateCollectorRequest {
                collector: Some(collector),
                update_mask: mask(&paths),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change_what_was_read(request, async |r| client(session).update_collector(r).await)
                .await?;
            show(session, answer.collector)
        }
        CollectorVerb::Delete { name: given, etag } => {
            let request = DeleteCollectorRequest {
                name: name(&given)?,
                etag,
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let deleted = request.name.clone();
            let answer = session
                .change(request, async |r| client(session).delete_collector(r).await)
                .await?;
            session.printer.message(&answer, || format!("Deleted {deleted}."))
        }
        CollectorVerb::Presets => {
            let answer = session
                .call(ListCollectorPresetsRequest {}, async |r| {
                    client(session).list_collector_presets(r).await
                })
                .await?;
            session.printer.message(&answer, || presets(&answer.presets))
        }
    }
}

async fn get(session: &Session, name: String) -> Result<Collector, Failure> {
    let request = GetCollectorRequest { name };
    let answer = session.call(request, async |r| client(session).get_collector(r).await).await?;
    answer.collector.ok_or_else(|| incomplete("collector"))
}

async fn list(session: &Session, limit: usize) -> Result<(), Failure> {
    let parent = session.names.tenants()?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request = ListCollectorsRequest { parent: parent.clone(), page_size, page_token };
            let answer =
                session.call(request, async |r| client(session).list_collectors(r).await).await?;
            Ok((answer.collectors, answer.next_page_token))
        })
        .await?;
    let message = ListCollectorsResponse {
        collectors: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.collectors,
        |collectors| table(collectors, &parent, session.printer.now),
        "There are no collectors here. Make one: `ekidenctl collector create us4 --tenant TENANT --preset sysdig-us4 --access-key KEY`",
    )
}

fn show(session: &Session, collector: Option<Collector>) -> Result<(), Failure> {
    let collector = collector.ok_or_else(|| incomplete("collector"))?;
    session.printer.message(&collector, || details(&collector, session.printer.now))
}

fn protocol(collector: &Collector) -> String {
    word(collector.protocol().as_str_name(), "COLLECTOR_PROTOCOL_")
}

/// `host:port`, and the priority where it is not 0.
pub(super) fn endpoint(endpoint: &Endpoint) -> String {
    let host = if endpoint.host.contains(':') {
        format!("[{}]", endpoint.host)
    } else {
        endpoint.host.clone()
    };
    match endpoint.priority {
        0 => format!("{host}:{}", endpoint.port),
        priority => format!("{host}:{},{priority}", endpoint.port),
    }
}

fn tls(collector: &Collector) -> &'static str {
    match &collector.tls {
        None => "no",
        Some(tls) if tls.insecure_skip_verify => "unverified",
        Some(tls) if !tls.ca_certificates_pem.is_empty() => "own CA",
        Some(_) => "yes",
    }
}

fn table(collectors: &[Collector], parent: &str, now: OffsetDateTime) -> String {
    let mut table = Table::new(&["NAME", "PROTOCOL", "ENDPOINT", "TLS", "ACCESS KEY", "AGE"]);
    for collector in collectors {
        let first = collector.endpoints.first().map(endpoint).unwrap_or_default();
        let more = collector.endpoints.len().saturating_sub(1);
        table.row([
            names::short(&collector.name, parent).into_owned(),
            protocol(collector),
            if more == 0 { first } else { format!("{first} +{more}") },
            tls(collector).to_owned(),
            collector
                .key_placement
                .as_ref()
                .map(|k| names::id(&k.access_key).to_owned())
                .unwrap_or_default(),
            age(collector.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(collector: &Collector, now: OffsetDateTime) -> String {
    let endpoints: Vec<_> = collector.endpoints.iter().map(endpoint).collect();
    let key = collector.key_placement.as_ref();
    Details::default()
        .with("Name", &collector.name)
        .with("Display name", &collector.display_name)
        .with("Preset", &collector.preset)
        .with("Protocol", protocol(collector))
        .with("Endpoints", endpoints.join("\n"))
        .with("TLS", tls(collector))
        .with(
            "TLS server name",
            collector.tls.as_ref().map(|t| t.server_name.clone()).unwrap_or_default(),
        )
        .with("Access key", key.map(|k| k.access_key.clone()).unwrap_or_default())
        .with("Key header", key.map(|k| format!("{}: {}…", k.header, k.prefix)).unwrap_or_default())
        .with(
            "Connect timeout",
            collector.connect_timeout.as_ref().map(duration).unwrap_or_default(),
        )
        .with("Created", date_and_age(collector.create_time.as_ref(), now))
        .with("Changed", date_and_age(collector.update_time.as_ref(), now))
        .with("Etag", &collector.etag)
        .render()
}

fn presets(presets: &[CollectorPreset]) -> String {
    let mut table = Table::new(&["PRESET", "PROTOCOL", "ENDPOINT", "KEY HEADER", "DESCRIPTION"]);
    for preset in presets {
        let collector = preset.collector.clone().unwrap_or_default();
        table.row([
            preset.name.clone(),
            protocol(&collector),
            collector.endpoints.first().map(endpoint).unwrap_or_default(),
            collector.key_placement.as_ref().map(|k| k.header.clone()).unwrap_or_default(),
            preset.description.clone(),
        ]);
    }
    table.render()
}

/// Protocols as options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProtocolValue {
    /// Raw bytes.
    Tcp,
    /// OTLP over gRPC.
    OtlpGrpc,
}

impl From<ProtocolValue> for CollectorProtocol {
    fn from(value: ProtocolValue) -> Self {
        match value {
            ProtocolValue::Tcp => Self::Tcp,
            ProtocolValue::OtlpGrpc => Self::OtlpGrpc,
        }
    }
}

#[cfg(test)]
#[path = "collector_tests.rs"]
mod tests;
