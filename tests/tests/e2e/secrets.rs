//! The plaintext of keys and tokens is nowhere to be found.
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, new_key},
        wait::{self, SAFETY},
    },
    vendor_collector::Behaviour,
    workloads::otlp::{Exporter, marker},
};
use tokio::process::Command;
use tonic::Code;

use super::ways::running_with;

/// A secret in every form in which careless code might write it.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
    let mut forms =
        vec![secret.as_bytes().to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
    forms.push(list.join(", ").into_bytes());
    // Base64 depends on where in a longer text the secret begins; the middle of each shift is the same in any text.
    for shift in 0..3 {
        let shifted = format!("{}{secret}", "x".repeat(shift));
        let encoded = base64(shifted.as_bytes());
        let middle = encoded.get(8..encoded.len().saturating_sub(8)).unwrap_or_default();
        forms.push(middle.as_bytes().to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[word >> (18 - 6 * place) & 63]));
        }
    }
    text
}

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
    let tenant_token = run
        .operator
        .create_api_token(ekiden_proto::admin::v1::Role::TenantAdmin, &run.customer.tenant)
        .await?;
    let enrollment_token = run.operator.create_enrollment_token(&run.customer.fleet, 5).await?;
    let mut errors = String::new();

    // Life with keys: use, refusal by the vendor, change, errors that might quote what was sent.
    let exporter = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    exporter.spans(&[marker("span")]).await?;
    run.customer.otlp_vendor.behave(Behaviour::fail(Code::Internal));
    errors.push_str(&format!("{:?}\n", exporter.spans(&[marker("span")]).await));
    run.customer.otlp_vendor.behave(Behaviour::Serve);
    run.customer.otlp_vendor.records().accept_keys(&[]);
    errors.push_str(&format!("{:?}\n", exporter.spans(&[marker("span")]).await));
    let second_key = new_key("acme");
    let (traced, trace_id) = run.operator.traced()?;
    traced.change_access_key(&run.customer.access_key, &second_key).await?;
    run.customer.otlp_vendor.records().accept_keys(&[&second_key]);
    let served = async || Ok(exporter.spans(&[marker("span")]).await.ok());
    wait::until("the new key is in use", SAFETY, served).await?;
    let too_long = format!("{}{}", second_key, "k".repeat(9_000));
    errors.push_str(&format!(
        "{:?}\n",
        run.operator.change_access_key(&run.customer.access_key, &too_long).await
    ));
    errors.push_str(&format!(
        "{:?}\n",
        run.operator.create_access_key("tenants/none", "k", &second_key).await
    ));
    let wrong = run.operator.with_token(&format!("{tenant_token}x"))?;
    errors.push_str(&format!(
        "{:?}\n",
        wrong.create_access_key(&run.customer.tenant, "k", &second_key).await
    ));
    let applied = |spans: &[ekiden_tests::otlp_sink::ReportedSpan]| {
        spans.iter().any(|one| one.name == "apply keys")
    };
    run.world
        .sink
        .wait_for_trace(&trace_id, "the key change's trace arrives", SAFETY, applied)
        .await?;

    let mut places: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    places.insert("errors that callers saw".to_owned(), errors.into_bytes());
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

#[test]
fn a_planted_secret_is_found_in_every_form_in_which_it_may_be_written() {
    let secret = "key-of-acme-0123456789abcdef";
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", secret.as_bytes());
    let encoded = [0, 1, 2]
        .map(|shift| base64(format!("{}{secret}, and more", "-".repeat(shift)).as_bytes()));
    for text in [secret, &hex, &list, &encoded[0], &encoded[1], &encoded[2]] {
        let place = format!("{}{text}{}", "x".repeat(1_001), "y".repeat(99));
        let found = forms(secret).iter().any(|form| Finder::new(form).is_in(place.as_bytes()));
        assert!(found, "not found: {text}");
    }
    let clean = "x".repeat(10_000);
    assert!(!forms(secret).iter().any(|form| Finder::new(form).is_in(clean.as_bytes())));
}

/// Searches by skipping (Horspool), for the database's files are large.
struct Finder<'a> {
    needle: &'a [u8],
    skip: [usize; 256],
}

impl<'a> Finder<'a> {
    fn new(needle: &'a [u8]) -> Self {
        let mut skip = [needle.len(); 256];
        for (place, byte) in needle.iter().enumerate().take(needle.len().saturating_sub(1)) {
            skip[usize::from(*byte)] = needle.len() - 1 - place;
        }
        Self { needle, skip }
    }

    fn is_in(&self, hay: &[u8]) -> bool {
        let mut at = 0;
        while let Some(window) = hay.get(at..at + self.needle.len()) {
            if window == self.needle {
                return true;
            }
            at += window.last().map_or(1, |last| self.skip[usize::from(*last)]);
        }
        false
    }
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
    let output = command.env("PGPASSFILE", folder.join("pgpass")).output().await?;
    anyhow::ensure!(
        output.status.success(),
        "pg_dump: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
