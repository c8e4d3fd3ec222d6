//! Relays that join by their task's AWS role, with no secret of Ekiden's.
use anyhow::Context as _;
use ekiden_tests::{
    certificates::Authority,
    harness::{
        Account, CommandLine, ControlPlane, Customer, Relay, World,
        customer::READY,
        wait::{self, SAFETY},
    },
    sts::{ISSUER, ISSUER_HOST, STS_HOST, Sts},
    task_role::ROLE_ARN,
};

use super::ways::TTL;

/// A customer with an AWS account, and no relay yet.
struct Stage {
    customer: Customer,
    operator: CommandLine,
    control_plane: ControlPlane,
    account: Account,
    /// Last: dropping it ends whatever still runs.
    world: World,
}

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let world = World::start().await?;
        let account = Account::start(&world).await?;
        let variables = account.control_plane();
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let control_plane = ControlPlane::start(&world, &variables).await?;
        let customer = Customer::set_up(&world, &control_plane.operator()?, "acme", TTL).await?;
        let operator = CommandLine::import(world.folder(), &control_plane).await?;
        operator.run(&["context", "set", "local", "--tenant", "acme"], "").await?;
        Ok(Self { customer, operator, control_plane, account, world })
    }

    async fn admit(&self, id: &str, role: &str, more: &[&str]) -> anyhow::Result<String> {
        let rule = ["enrollment-rule", "create", id, "--fleet", "main", "--role", role];
        self.operator.run(&[&rule, more].concat(), "").await
    }

    fn relay(&self, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Relay> {
        let mut options = self.account.relay(name, &self.customer.fleet);
        for (name, value) in variables {
            options = options.variable(name, value);
        }
        Relay::start(&self.world, &self.control_plane.relay_port(), options)
    }

    /// What was done at a host of AWS's with success.
    fn done(&self, host: &str) -> Vec<String> {
        let calls = self.account.sts.calls().into_iter();
        calls.filter(|call| call.host == host && call.error.is_none()).map(|c| c.what).collect()
    }

    /// Sees that the trail names the role as who enrolled, so many times.
    async fn audit_names_the_role(&self, times: usize) -> anyhow::Result<()> {
        let json = self.operator.run(&["audit", "list", "-o", "json"], "").await?;
        let events: serde_json::Value = serde_json::from_str(&json)?;
        let events = events["auditEvents"].as_array().cloned().unwrap_or_default();
        let enrolled = events.iter().filter(|event| {
            event["method"] == "/ekiden.relay.v1.EnrollmentService/Enroll"
                && event["actor"] == ROLE_ARN
        });
        assert_eq!(enrolled.count(), times, "{json}");
        let table = self.operator.run(&["audit", "list"], "").await?;
        let row = table.lines().find(|line| line.contains(" Enroll "));
        assert!(row.is_some_and(|row| row.contains(ROLE_ARN)), "{table}");
        Ok(())
    }
}

/// Waits until a relay that is not ready gives all of these parts as its reason.
async fn says(relay: &mut Relay, parts: &[&str]) -> anyhow::Result<()> {
    let mut last = String::new();
    let said = wait::until("the relay says why it is not ready", SAFETY, async || {
        let (status, page) = relay.page("/readyz").await?;
        anyhow::ensure!(status == 503, "{status}: {page}");
        last.clone_from(&page);
        Ok(parts.iter().all(|part| page.contains(part)).then_some(()))
    });
    said.await.with_context(|| format!("not {parts:?}, but {last}"))
}

#[tokio::test]
async fn a_relay_enrolls_by_a_web_identity_token_and_nobody_asks_sts_who_it_is()
-> anyhow::Result<()> {
    let stage = Stage::set().await?;
    stage.admit("ecs", ROLE_ARN, &["--issuer", ISSUER]).await?;
    stage.relay("federated", &[])?.ready(READY).await?;
    let documents = ["/.well-known/openid-configuration", "/.well-known/jwks.json"];
    assert_eq!(stage.done(ISSUER_HOST), documents);
    assert_eq!(stage.done(STS_HOST), [""; 0]);
    let calls = stage.account.sts.calls();
    assert!(calls.iter().any(|call| call.what == "GetWebIdentityToken"), "{calls:?}");
    let asked = stage.account.egress.asked();
    assert!(asked.iter().all(|to| *to == format!("{ISSUER_HOST}:443")), "{asked:?}");
    stage.audit_names_the_role(1).await
}

#[tokio::test]
async fn where_tokens_cannot_be_had_or_verified_a_signed_request_takes_their_place()
-> anyhow::Result<()> {
    let stage = Stage::set().await?;
    stage.admit("ecs", ROLE_ARN, &["--issuer", ISSUER]).await?;
    stage.account.egress.block(ISSUER_HOST);
    stage.relay("unverified", &[])?.ready(READY).await?;
    assert_eq!(stage.done(ISSUER_HOST), [""; 0]);
    assert_eq!(stage.done(STS_HOST), ["GetCallerIdentity"]);

    stage.account.sts.behave(|behaviour| behaviour.federates = false);
    stage.relay("unfederated", &[])?.ready(READY).await?;
    assert_eq!(stage.done(STS_HOST), ["GetCallerIdentity"; 2]);
    stage.audit_names_the_role(2).await
}

#[tokio::test]
async fn a_role_that_no_rule_admits_is_named_with_what_helps_and_joins_once_admitted()
-> anyhow::Result<()> {
    let stage = Stage::set().await?;
    stage.admit("other", &format!("{ROLE_ARN}-2"), &["--issuer", ISSUER]).await?;
    let mut relay = stage.relay("stranger", &[])?;
    let by_token = format!("admits the AWS role {ROLE_ARN}:");
    let by_signature = "admits the AWS role ekiden-relay of account 123456789012:";
    let hint = "ekidenctl enrollment-rule create";
    says(&mut relay, &[&by_token, by_signature, hint]).await?;
    let mut forger = stage.relay("forger", &[("AWS_SECRET_ACCESS_KEY", "made-up")])?;
    says(&mut forger, &["AWS STS refuses the signature (SignatureDoesNotMatch)"]).await?;
    let listed = stage.operator.run(&["relay", "list", "-o", "json"], "").await?;
    assert!(!listed.contains("/relays/"), "{listed}");

    stage.admit("ecs", ROLE_ARN, &["--issuer", ISSUER]).await?;
    relay.process().kill().await?;
    relay.restart()?;
    relay.ready(READY).await?;
    stage.audit_names_the_role(1).await
}

#[tokio::test]
async fn while_sts_is_down_a_relay_says_so_and_gets_in_when_it_is_back() -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    stage.admit("ecs", ROLE_ARN, &[]).await?;
    stage.account.sts.behave(|behaviour| behaviour.fails = true);
    let mut relay = stage.relay("waiting", &[])?;
    says(
        &mut relay,
        &["STS gave no web identity token", "AWS STS cannot be asked who signed just now"],
    )
    .await?;
    stage.account.egress.block(STS_HOST);
    let before = stage.account.egress.asked().len();
    let tried = async || Ok((stage.account.egress.asked().len() > before).then_some(()));
    wait::until("the relay has STS asked again", SAFETY, tried).await?;
    stage.account.sts.behave(|behaviour| behaviour.fails = false);
    stage.account.egress.lead(STS_HOST, stage.account.sts.tls());
    relay.ready(READY).await?;
    assert_eq!(stage.done(STS_HOST), ["GetCallerIdentity"]);
    stage.audit_names_the_role(1).await
}

#[tokio::test]
async fn an_egress_proxy_that_leads_astray_gets_no_proof_to_see() -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    stage.admit("ecs", ROLE_ARN, &["--issuer", ISSUER]).await?;
    let stranger = Authority::new("an authority that no one trusts")?;
    let impostor = Sts::start(stage.world.loopback.any_port(), &stranger).await?;
    for host in [STS_HOST, ISSUER_HOST] {
        stage.account.egress.lead(host, impostor.tls());
    }
    let mut relay = stage.relay("misled", &[])?;
    says(&mut relay, &["AWS STS cannot be asked who signed just now"]).await?;
    assert_eq!(impostor.calls(), []);
    let log = stage.control_plane.process().log();
    let why = format!(
        "{STS_HOST} cannot be reached: error sending request: client error (Connect): invalid peer certificate: UnknownIssuer"
    );
    assert!(log.contains(&why), "{log}");
    Ok(())
}
