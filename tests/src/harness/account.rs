//! An AWS account whose tasks can prove their role: STS, the account's issuer, and the control plane's way to both.
use std::{fs, path::PathBuf};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use ekiden_relay::identity::aws_role::AwsRole;

use super::{RelayOptions, World};
use crate::{
    certificates::Authority,
    egress_proxy::EgressProxy,
    sts::{ISSUER_HOST, STS_HOST, Sts},
    task_role::{CREDENTIALS, REGION},
};

/// The account's services; they stop when dropped.
#[derive(Debug)]
pub struct Account {
    /// STS and the issuer.
    pub sts: Sts,
    /// Where the control plane goes out.
    pub egress: EgressProxy,
    roots: PathBuf,
}

impl Account {
    /// Starts the services in `world`.
    pub async fn start(world: &World) -> anyhow::Result<Self> {
        let authority = Authority::new("the authority of AWS's hosts")?;
        let roots = world.folder().join("aws-roots.pem");
        fs::write(&roots, authority.pem())?;
        let sts = Sts::start(world.loopback.any_port(), &authority).await?;
        let egress = EgressProxy::start(world.loopback.any_port()).await?;
        for host in [STS_HOST, ISSUER_HOST] {
            egress.lead(host, sts.tls());
        }
        Ok(Self { sts, egress, roots })
    }

    /// Returns the variables of a control plane behind the egress proxy.
    pub fn control_plane(&self) -> [(&'static str, String); 2] {
        [("HTTPS_PROXY", self.egress.url()), ("SSL_CERT_FILE", self.roots.display().to_string())]
    }

    /// Returns how to start a relay that joins `fleet` by its role, with no secret of Ekiden's.
    pub fn relay(&self, name: &str, fleet: &str) -> RelayOptions {
        RelayOptions::new(name, "")
            .variable("EKIDEN_FLEET", fleet)
            .variable("AWS_ENDPOINT_URL_STS", &self.sts.url())
    }

    /// Returns the tasks' role for a relay within this process.
    pub fn role(&self) -> AwsRole {
        let token = Some(CREDENTIALS.session_token.to_owned());
        let credentials =
            Credentials::new(CREDENTIALS.access_key_id, CREDENTIALS.secret, token, None, "world");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url(self.sts.url())
            .credentials_provider(SharedCredentialsProvider::new(credentials));
        AwsRole::with_config(config.build())
    }
}
