//! `ekidenctl audit verify` and `export`: the trail checked without trusting the database it is in.
use std::{fmt::Write as _, fs, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use ekiden_proto::{
    admin::v1::{AuditEvent, AuditHead, ListAuditEventsRequest, ListAuditHeadsRequest},
    audit_chain::{self, Break, Whole},
};

use super::client;
use crate::{
    failure::Failure,
    output::{print, structured},
    session::Session,
};

/// A trail: events and the heads that they lead up to.
#[derive(Debug, Default)]
pub(super) struct Trail {
    heads: Vec<AuditHead>,
    events: Vec<AuditEvent>,
}

/// Prints a trail, a JSON document a line.
pub(super) async fn export(session: &Session) -> Result<(), Failure> {
    let trail = ask(session).await?;
    for head in &trail.heads {
        print(&structured::json_line(head)?)?;
    }
    for event in trail.events.iter().rev() {
        print(&structured::json_line(event)?)?;
    }
    session.printer.note(
        "Kept where the control plane's database is not, it shows what was changed in there since.",
    );
    Ok(())
}

/// Checks a trail as the control plane has it, or as it was exported.
pub(super) async fn verify(
    session: &Session,
    file: Option<&Path>,
    kept: Option<&Path>,
    signer: Option<&str>,
) -> Result<(), Failure> {
    let trail = match file {
        Some(file) => read(file)?,
        None => ask(session).await?,
    };
    let kept = kept.map(read).transpose()?.unwrap_or_default();
    print(&verdict(&trail, &kept, signer)?)
}

async fn ask(session: &Session) -> Result<Trail, Failure> {
    let parent = session.names.tenants()?;
    // Heads first: an event that comes meanwhile follows them, and is checked too.
    let heads = session.pages(0, async |page_token, page_size| {
        let request = ListAuditHeadsRequest { parent: parent.clone(), page_size, page_token };
        let answer =
            session.call(request, async |r| client(session).list_audit_heads(r).await).await?;
        Ok((answer.audit_heads, answer.next_page_token))
    });
    let heads = heads.await?.items;
    let events = session.pages(0, async |page_token, page_size| {
        let request = ListAuditEventsRequest { parent: parent.clone(), page_size, page_token };
        let answer =
            session.call(request, async |r| client(session).list_audit_events(r).await).await?;
        Ok((answer.audit_events, answer.next_page_token))
    });
    Ok(Trail { heads, events: events.await?.items })
}

fn read(path: &Path) -> Result<Trail, Failure> {
    let text = fs::read_to_string(path).map_err(|source| Failure::File {
        path: path.display().to_string(),
        verb: "read",
        source,
    })?;
    let mut trail = Trail::default();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = || {
            Failure::usage(
                format!(
                    "{}:{} is neither an audit event nor an audit head",
                    path.display(),
                    number + 1
                ),
                "give a file that `ekidenctl audit export` wrote",
            )
        };
        if let Ok(head) = structured::from_json::<AuditHead>(line) {
            trail.heads.push(head);
        } else {
            trail.events.push(structured::from_json(line).map_err(|_| wrong())?);
        }
    }
    Ok(trail)
}

/// What a check found, in words.
///
/// # Errors
/// [`Failure::Broken`] with every break.
fn verdict(trail: &Trail, kept: &Trail, signer: Option<&str>) -> Result<String, Failure> {
    let Some(first) = trail.heads.first() else {
        return Err(Failure::usage(
            "there is no audit head, so nothing vouches for the events",
            "a tenant's first event makes its head: check the tenant's name, or the file",
        ));
    };
    let key = first.public_key.as_slice();
    let mut breaks = Vec::new();
    let fingerprint = fingerprint(key);
    if let Some(wanted) = signer
        && !wanted.eq_ignore_ascii_case(&fingerprint)
    {
        breaks.push(format!("the heads are signed by {fingerprint}, not by {wanted}"));
    }
    let told = |breaks: Vec<Break>| breaks.iter().map(ToString::to_string).collect::<Vec<_>>();
    breaks.extend(told(audit_chain::check_heads(&trail.events, &kept.heads, key)));
    match audit_chain::check(&trail.events, &trail.heads, key) {
        Ok(whole) if breaks.is_empty() => Ok(words(&whole, kept.heads.len(), &fingerprint)),
        Ok(_) => Err(Failure::Broken { breaks }),
        Err(found) => {
            breaks.extend(told(found));
            Err(Failure::Broken { breaks })
        }
    }
}

fn words(whole: &[Whole], kept: usize, fingerprint: &str) -> String {
    let mut text = String::new();
    for chain in whole {
        let older = match chain.unchained {
            0 => String::new(),
            n => format!(", and {n} from before events were chained, which nothing vouches for"),
        };
        // Writing to a String does not fail.
        writeln!(text, "{}: {} events, whole{older}", chain.chain, chain.events).ok();
    }
    if kept > 0 {
        writeln!(text, "kept heads: all {kept} are part of it").ok();
    }
    writeln!(text, "signed by {fingerprint}").ok();
    text
}

/// SHA-256 of a key, hex.
fn fingerprint(key: &[u8]) -> String {
    digest(&SHA256, key).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
