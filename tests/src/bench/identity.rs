//! Enrollments and renewals a second, and what each costs the control plane, Postgres included.
use std::{future::Future, sync::Arc};

use anyhow::{Context, Result, ensure};
use ekiden_proto::relay::v1::RelayDescription;
use ekiden_relay::{
    channel::Dialer,
    identity::{
        Identity,
        enrollment::{enroll, renew},
    },
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    measured::cpu_seconds,
    report::median,
    sessions::{customer, dialer},
};
use crate::harness::{ControlPlane, World};

/// Calls in flight at once: what the control plane takes without asking anybody to come back later.
const AT_ONCE: usize = 32;

/// What one kind of call came to.
struct Figures {
    a_second: f64,
    /// µs of CPU of the control plane and its Postgres.
    cpu: f64,
}

/// Measures `relays` enrollments by token and as many renewals over new mTLS connections, `rounds` times.
///
/// # Errors
/// When a call fails; it says which.
pub async fn measure(relays: usize, rounds: usize) -> Result<String> {
    let world = World::start().await?;
    let mut control_plane = ControlPlane::start(&world, &[("OTEL_SDK_DISABLED", "true")]).await?;
    let operator = control_plane.operator()?;
    let (_, fleet) = customer(&operator).await?;
    let dialer = dialer(&world, &control_plane)?;
    let pid = control_plane.process().id().context("the control plane is gone")?;
    let (mut enrollments, mut renewals) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let token = operator.create_enrollment_token(&fleet, u32::try_from(relays)?).await?;
        let call = |dialer: Dialer, _| {
            let token = token.clone().into();
            async move { Ok(enroll(&dialer, &token, RelayDescription::default()).await?) }
        };
        let (figures, identities) = all(pid, &dialer, vec![(); relays], call).await?;
        enrollments.push(figures);
        let call = |dialer: Dialer, identity: Arc<Identity>| async move {
            Ok(renew(&dialer, &identity).await?)
        };
        let (figures, _) = all(pid, &dialer, identities, call).await?;
        renewals.push(figures);
    }
    let row = |what: &str, figures: &[Figures]| {
        let of = |value: fn(&Figures) -> f64| median(figures.iter().map(value).collect());
        format!("| {what} | {:.0} | {:.0} |\n", of(|f| f.a_second), of(|f| f.cpu))
    };
    Ok(format!(
        "| what, {relays} times over a new connection each, {AT_ONCE} at once | a second | CPU µs each (Postgres included) |\n|---|---|---|\n{}{}",
        row("enrollment by token (TLS handshake, CSR, certificate, transaction)", &enrollments),
        row("renewal (mTLS handshake, CSR, certificate, transaction)", &renewals),
    ))
}

/// Makes a call for each of `inputs` and gives what came of them.
async fn all<I, F>(
    pid: u32,
    dialer: &Dialer,
    inputs: Vec<I>,
    call: impl Fn(Dialer, I) -> F,
) -> Result<(Figures, Vec<Arc<Identity>>)>
where
    F: Future<Output = Result<Arc<Identity>>> + Send + 'static,
{
    let count = inputs.len();
    let (cpu, begun) = (cpu_seconds(pid)?, Instant::now());
    let mut waiting = inputs.into_iter();
    let mut calls: JoinSet<Result<Arc<Identity>>> = JoinSet::new();
    for input in waiting.by_ref().take(AT_ONCE) {
        calls.spawn(call(dialer.clone(), input));
    }
    let mut identities = Vec::with_capacity(count);
    while let Some(done) = calls.join_next().await {
        identities.push(done??);
        if let Some(input) = waiting.next() {
            calls.spawn(call(dialer.clone(), input));
        }
    }
    ensure!(identities.len() == count, "{} of {count} calls were made", identities.len());
    let took = begun.elapsed().as_secs_f64();
    let cpu = (cpu_seconds(pid)? - cpu) * 1e6 / count as f64;
    Ok((Figures { a_second: count as f64 / took, cpu }, identities))
}
