//! Changes of relays as they come: one line each, so that it works in a pipe.
use std::{collections::HashMap, time::Duration};

use ekiden_proto::admin::v1::{Relay, WatchRelaysRequest};
use tonic::{Code, Streaming};

use super::{client, shown};
use crate::{
    arguments::Format,
    failure::{Failure, report::report},
    output::{print, structured},
    session::Session,
};

/// Longest wait before the stream is opened again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn run(session: &Session, fleet: Option<&str>) -> Result<(), Failure> {
    let request = WatchRelaysRequest { parent: session.names.fleets(fleet)? };
    if session.printer.format == Format::Table && session.printer.terminal {
        print(&shown::watch_header())?;
    }
    let mut last = HashMap::new();
    let mut wait = Duration::from_secs(1);
    let mut opened_before = false;
    loop {
        let opened =
            session.call(request.clone(), async |r| client(session).watch_relays(r).await).await;
        let lost = match opened {
            Ok(stream) => {
                opened_before = true;
                wait = Duration::from_secs(1);
                follow(session, stream, &request.parent, &mut last).await?
            }
            // The first failure is the person's to see; later ones are a control plane on its way back.
            Err(failure) if !opened_before || !passes(&failure) => return Err(failure),
            Err(failure) => Some(failure),
        };
        if let Some(failure) = lost {
            let text = report(&failure);
            let line = text.lines().next().unwrap_or_default().to_owned();
            eprintln!("{line}; trying again in {} s", wait.as_secs());
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Prints what comes until the stream ends; gives why, where it is worth trying again.
async fn follow(
    session: &Session,
    mut stream: Streaming<ekiden_proto::admin::v1::WatchRelaysResponse>,
    parent: &str,
    last: &mut HashMap<String, String>,
) -> Result<Option<Failure>, Failure> {
    loop {
        match stream.message().await {
            Ok(Some(change)) => {
                if let Some(relay) = change.relay {
                    show(session, &relay, parent, last)?;
                }
            }
            Ok(None) => return Ok(None),
            Err(status) => {
                let failure = session.failure(&status);
                return if passes(&failure) { Ok(Some(failure)) } else { Err(failure) };
            }
        }
    }
}

/// Whether it may pass by itself.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Unreachable { .. } | Failure::TimedOut { .. } => true,
        Failure::Refused(refusal) => {
            matches!(
                refusal.code,
                Code::Unavailable | Code::Cancelled | Code::Unknown | Code::Internal
            )
        }
        Failure::Usage { .. }
        | Failure::Config { .. }
        | Failure::File { .. }
        | Failure::TextGone { .. }
        | Failure::Broken { .. }
        | Failure::RotationStopped { .. }
        | Failure::Output(_) => false,
    }
}

fn show(
    session: &Session,
    relay: &Relay,
    parent: &str,
    last: &mut HashMap<String, String>,
) -> Result<(), Failure> {
    let text = match session.printer.format {
        Format::Json => return print(&structured::json_line(relay)?),
        Format::Yaml => return print(&format!("---\n{}", structured::yaml(relay)?)),
        Format::Table | Format::Text => shown::watch_line(relay, parent),
    };
    // After the stream was opened again, everything comes again.
    if last.get(&relay.name) == Some(&text) {
        return Ok(());
    }
    let now = shown::clock(crate::clock::now());
    print(&format!("{now}  {text}"))?;
    last.insert(relay.name.clone(), text);
    Ok(())
}
