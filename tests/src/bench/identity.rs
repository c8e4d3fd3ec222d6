//! Enrollments and renewals a second, and what each costs the control plane, Postgres included.
use std::{future::Future, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use ekiden_proto::relay::v1::RelayDescription;
use ekiden_relay::{
    channel::Dialer,
    clock::Clock,
    identity::{
        Identity,
        aws_role::Way,
        enrollment::{enroll, enroll_by_role, renew},
    },
};
use tokio::{task::JoinSet, time::Instant};

use super::{
    measured::cpu_seconds,
    report::median,
    sessions::{customer, dialer},
};
use crate::{
    harness::{Account, ControlPlane, World},
    task_role::ROLE_ARN,
};

/// Calls in flight at once: what the control plane takes without asking anybody to come back later.
const AT_ONCE: usize = 32;
/// Proofs in flight at once; most of the time they wait for STS.
const PROOFS_AT_ONCE: usize = 128;
/// How long STS takes.
const STS_TAKES: Duration = Duration::from_millis(50);

/// What one kind of call came to.
struct Figures {
    a_second: f64,
    /// µs of CPU of the control plane and its Postgres.
    cpu: f64,
}

/// Measures `relays` enrollments by token, as many by a signed `GetCallerIdentity`, and as many renewals, each over a new
/// connection, `rounds` times.
///
/// # Errors
/// When a call fails; it says which.
pub async fn measure(relays: usize, rounds: usize) -> Result<String> {
    let world = World::start().await?;
    let account = Account::start(&world).await?;
    account.sts.behave(|behaviour| behaviour.delay = STS_TAKES);
    let variables = account.control_plane();
    let [proxy, roots] = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let variables = [proxy, roots, ("OTEL_SDK_DISABLED", "true"), ("EKIDEN_LOG", "info")];
    let mut control_plane = ControlPlane::start(&world, &variables).await?;
    let operator = control_plane.operator()?;
    let (_, fleet) = customer(&operator).await?;
    operator.create_enrollment_rule(&fleet, "tasks", ROLE_ARN).await?;
    let dialer = dialer(&world, &control_plane)?;
    let pid = control_plane.process().id().context("the control plane is gone")?;
    let (mut by_token, mut by_role, mut renewals) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let token = operator.create_enrollment_token(&fleet, u32::try_from(relays)?).await?;
        let call = |dialer: Dialer, ()| {
            let token = token.clone().into();
            async move { Ok(enroll(&dialer, &token, RelayDescription::default()).await?) }
        };
        by_token.push(all(pid, &dialer, AT_ONCE, vec![(); relays], call).await?.0);
        let call = |dialer: Dialer, ()| {
            let (role, fleet) = (account.role(), fleet.clone());
            async move {
                let (description, clock) = (RelayDescription::default(), Clock::system());
                let way = Way::CallerIdentity;
                Ok(enroll_by_role(&dialer, &role, way, &fleet, description, &clock).await?)
            }
        };
        let proofs = all(pid, &dialer, PROOFS_AT_ONCE, vec![(); relays], call).await?;
        by_role.push(proofs.0);
        let call = |dialer: Dialer, identity: Arc<Identity>| async move {
            Ok(renew(&dialer, &identity).await?)
        };
        renewals.push(all(pid, &dialer, AT_ONCE, proofs.1, call).await?.0);
    }
    let asked = account.sts.calls();
    ensure!(asked.len() == relays * rounds, "STS was asked {} times", asked.len());
    let row = |what: &str, figures: &[Figures]| {
        let of = |value: fn(&Figures) -> f64| median(figures.iter().map(value).collect());
        format!("| {what} | {:.0} | {:.0} |\n", of(|f| f.cpu), of(|f| f.a_second))
    };
    Ok(format!(
        "| what, {relays} times over a new connection each | CPU µs each (Postgres included) | a second |\n|---|---|---|\n{}{}{}",
        row("enrollment by token (TLS handshake, CSR, certificate, transaction)", &by_token),
        row(
            "enrollment by AWS role (the same with a challenge, and STS asked, which takes 50 ms)",
            &by_role
        ),
        row("renewal (mTLS handshake, CSR, certificate, transaction)", &renewals),
    ))
}

/// Makes a call for each of `inputs`, so many at once, and gives what came of them.
async fn all<I, F>(
    pid: u32,
    dialer: &Dialer,
    at_once: usize,
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
    for input in waiting.by_ref().take(at_once) {
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
