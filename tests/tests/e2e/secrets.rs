//! The plaintext of keys and tokens is nowhere to be found.
mod search;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ekiden_proto::admin::v1::{
    ListAccessKeysRequest, ListApiTokensRequest, ListAuditEventsRequest, ListCollectorsRequest,
    ListEnrollmentTokensRequest, ListFleetsRequest, ListRevisionsRequest, Role,
};
use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, new_key},
        wait::{self, SAFETY},
    },
    task_role::CREDENTIALS,
    vendor_collector::Behaviour,
    workloads::otlp::{Exporter, marker},
};
use tokio::process::Command;
use tonic::Code;

use super::ways::{Running, running_with};
use search::{Finder, forms};

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let kind = fs::symlink_metadata(&path)?.file_type();
        if kind.is_dir() {
            files(&path, found)?;
        } else if kind.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_log_trace_metric_error_file_or_database_dump_holds_a_secret() -> anyhow::Result<()> {
    // Everything that can be logged is, libraries included.
    let mut run = running_with(2, &[("EKIDEN_LOG", "trace")]).await?;
    let first_key = run.customer.key.clone();
    let tenant_token =
        run.operator.create_api_token(Role::TenantAdmin, &run.customer.tenant).await?;
    let enrollment_token = run.operator.create_enrollment_token(&run.customer.fleet, 5).await?;
    let mut said = String::new();

    // Life with keys: use, a vendor that quotes them, refusal, change, errors that might quote what was sent.
    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    let vendor = &run.customer.otlp_vendor;
    exporter.spans(&[marker("span")]).await?;
    let message = format!("the key {first_key} may not do this");
    for behaviour in [
        Behaviour::fail(Code::Internal),
        Behaviour::Fail {
            code: Code::InvalidArgument,
            message: message.clone(),
            retry_after: None,
        },
        Behaviour::PartialSuccess { rejected: 1, message },
    ] {
        vendor.behave(behaviour);
        said.push_str(&format!("{:?}\n", exporter.spans(&[marker("span")]).await));
    }
    vendor.behave(Behaviour::Serve);
    vendor.records().accept_keys(&[]);
    said.push_str(&format!("{:?}\n", exporter.spans(&[marker("span")]).await));
    let second_key = new_key("acme");
    let (traced, trace_id) = run.operator.traced()?;
    let changed = traced.change_access_key(&run.customer.access_key, &second_key).await?;
    said.push_str(&format!("{changed:?}\n"));
    vendor.records().accept_keys(&[&second_key]);
    let served = async || Ok(exporter.spans(&[marker("span")]).await.ok());
    wait::until("the new key is in use", SAFETY, served).await?;
    let too_long = format!("{}{}", second_key, "k".repeat(9_000));
    let wrong = run.operator.with_token(&format!("{tenant_token}x"))?;
    for refused in [
        run.operator.change_access_key(&run.customer.access_key, &too_long).await,
        run.operator.create_access_key("tenants/none", "k", &second_key).await,
        wrong.create_access_key(&run.customer.tenant, "k", &second_key).await,
    ] {
        assert!(refused.is_err(), "{refused:?}");
        said.push_str(&format!("{refused:?}\n"));
    }
    said.push_str(&everything_that_can_be_read(&run).await?);
    assert!(said.contains("may not do this"), "the vendor's words did not come through: {said}");
    let applied = |spans: &[ekiden_tests::otlp_sink::ReportedSpan]| {
        spans.iter().any(|one| one.name == "apply keys")
    };
    run.world
        .sink
        .wait_for_trace(&trace_id, "the key change's trace arrives", SAFETY, applied)
        .await?;

    let mut places: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    places.insert("what callers were told".to_owned(), said.into_bytes());
    for relay in &mut run.relays {
        let page = relay.page("/metrics").await?.1;
        assert!(!page.is_empty());
        places.insert(format!("{}'s /metrics", relay.name()), page.into_bytes());
    }
    let dump = dump(run.control_plane.data()).await?;
    let text = String::from_utf8_lossy(&dump);
    assert!(
        text.contains("acme") && text.contains("COPY"),
        "the database dump is not what it should be"
    );
    places.insert("the database dump".to_owned(), dump);
    let exported = run.world.sink.everything();
    assert!(exported.contains("apply keys"), "no traces were exported");
    places.insert("exported traces and metrics".to_owned(), exported.into_bytes());
    let mut paths = Vec::new();
    files(run.world.folder(), &mut paths)?;
    assert!(paths.iter().any(|path| path.ends_with("control-plane.log")));
    for path in paths {
        // Postgres removes files while it works.
        if let Ok(bytes) = fs::read(&path) {
            places.insert(path.display().to_string(), bytes);
        }
    }

    let logs = run.world.logs()?;
    let relay_log =
        logs.iter().find(|(name, _)| name == "acme-relay-1.log").map(|(_, text)| text.as_str());
    assert!(
        relay_log.is_some_and(|text| text.contains("\"TRACE\"")),
        "the logs are not as detailed as they can be"
    );

    let secrets = [
        ("the first key", first_key.as_str()),
        ("the second key", second_key.as_str()),
        ("the bootstrap token", run.control_plane.token()),
        ("an API token", tenant_token.as_str()),
        ("an enrollment token", enrollment_token.as_str()),
        ("the task role's secret", CREDENTIALS.secret),
        ("the task role's session token", CREDENTIALS.session_token),
    ];
    for (what, secret) in secrets {
        // The id of a token is no secret; its third part is.
        let secret = secret.splitn(3, '_').nth(2).unwrap_or(secret);
        assert!(secret.len() >= 16, "{what} is too short to be searched for");
        for form in forms(secret) {
            let finder = Finder::new(&form);
            for (place, bytes) in &places {
                assert!(!finder.is_in(bytes), "{what} is in {place}");
            }
        }
    }
    Ok(())
}

/// Returns what the admin API tells of the tenant, and of tokens.
async fn everything_that_can_be_read(run: &Running) -> anyhow::Result<String> {
    let (operator, tenant, fleet) =
        (&run.operator, run.customer.tenant.clone(), run.customer.fleet.clone());
    let keys = ListAccessKeysRequest { parent: tenant.clone(), ..Default::default() };
    let keys = operator.access_keys().list_access_keys(keys).await?.into_inner();
    let collectors = ListCollectorsRequest { parent: tenant.clone(), ..Default::default() };
    let collectors = operator.collectors().list_collectors(collectors).await?.into_inner();
    let fleets = ListFleetsRequest { parent: tenant.clone(), ..Default::default() };
    let fleets = operator.fleets().list_fleets(fleets).await?.into_inner();
    let revisions = ListRevisionsRequest { parent: fleet.clone(), ..Default::default() };
    let revisions = operator.revisions().list_revisions(revisions).await?.into_inner();
    let tokens = ListEnrollmentTokensRequest { parent: fleet.clone(), ..Default::default() };
    let tokens = operator.enrollment_tokens().list_enrollment_tokens(tokens).await?.into_inner();
    let api_tokens = ListApiTokensRequest::default();
    let api_tokens = operator.api_tokens().list_api_tokens(api_tokens).await?.into_inner();
    let events = ListAuditEventsRequest { parent: tenant, ..Default::default() };
    let events = operator.audit().list_audit_events(events).await?.into_inner();
    let mut relays = Vec::new();
    for relay in operator.relays(&fleet).await? {
        relays.push(operator.relay(&relay.name).await?);
    }
    let all = format!(
        "{keys:?}\n{collectors:?}\n{fleets:?}\n{revisions:?}\n{tokens:?}\n{api_tokens:?}\n{events:?}\n{relays:?}\n"
    );
    let told = [keys.access_keys.len(), collectors.collectors.len(), fleets.fleets.len()];
    assert!(told.iter().all(|count| *count > 0) && !relays.is_empty(), "{all}");
    assert!(!revisions.revisions.is_empty() && !events.audit_events.is_empty(), "{all}");
    assert!(!tokens.enrollment_tokens.is_empty() && !api_tokens.api_tokens.is_empty(), "{all}");
    Ok(all)
}

/// Dumps the embedded Postgres through its socket.
async fn dump(data: &Path) -> anyhow::Result<Vec<u8>> {
    let folder = data.join("postgres");
    let mut command = Command::new("pg_dump");
    command.arg("--host").arg(folder.join("socket")).args([
        "--username",
        "ekiden",
        "--dbname",
        "ekiden",
    ]);
    command.env("PGPASSFILE", folder.join("pgpass")).kill_on_drop(true);
    let output = command.output().await?;
    anyhow::ensure!(
        output.status.success(),
        "pg_dump: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
