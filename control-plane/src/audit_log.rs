//! The audit log: each event is chained to the one before it and the chain's end is signed, in the transaction of what was done.
use anyhow::Context;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use ekiden_proto::{
    admin::v1::{AuditEvent, AuditHead},
    audit_chain,
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    error::Error,
    store::audit::{self, AuditEventRow, AuditHeadRow},
    timestamps::to_proto,
};

/// One thing that was done.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Tenant it belongs to; none for what belongs to no tenant.
    pub tenant: Option<&'a str>,
    /// When.
    pub at: OffsetDateTime,
    /// Who: `apiTokens/{id}`, a relay's name, or `controlPlane`.
    pub actor: &'a str,
    /// From which address.
    pub peer: &'a str,
    /// Full method, e.g. `/ekiden.admin.v1.FleetService/UpdateFleet`.
    pub method: &'a str,
    /// Resource name of what it was done to.
    pub resource: &'a str,
    /// Field paths that changed, never their values.
    pub changed_fields: &'a [String],
    /// Trace id, 32 hex digits; empty: none.
    pub trace_id: &'a str,
}

/// A chain's end, locked until the transaction ends.
#[derive(Debug)]
pub struct Turn(AuditHeadRow);

/// Writes events; holds the key that signs chains' ends.
pub struct AuditLog {
    key: EcdsaKeyPair,
}

impl AuditLog {
    /// A log that signs with this P-256 key, PKCS#8.
    ///
    /// # Errors
    /// It is no such key.
    pub fn new(pkcs8: &[u8]) -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8)
            .ok()
            .context("the key that signs the audit log is damaged")?;
        Ok(Self { key })
    }

    /// The key that signatures are checked with: an uncompressed point.
    pub fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }

    /// Records an event. Until the transaction ends, others of the same chain wait: record late in it.
    ///
    /// # Errors
    /// What the database says.
    pub async fn record(&self, db: &mut PgConnection, event: Event<'_>) -> Result<(), Error> {
        let turn = self.take_turn(db, event.tenant).await?;
        self.record_in(turn, db, event).await
    }

    /// Waits for this transaction's turn to record an event of a tenant's chain; others wait until it ends.
    ///
    /// # Errors
    /// What the database says.
    pub async fn take_turn(
        &self,
        db: &mut PgConnection,
        tenant: Option<&str>,
    ) -> Result<Turn, Error> {
        Ok(Turn(audit::lock_head(db, tenant).await?))
    }

    /// Records an event of the chain whose turn was taken in this transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn record_in(
        &self,
        Turn(head): Turn,
        db: &mut PgConnection,
        event: Event<'_>,
    ) -> Result<(), Error> {
        let mut row = AuditEventRow {
            audit_event_id: Uuid::now_v7(),
            tenant_id: event.tenant.map(str::to_owned),
            // As exact as the database keeps it: the hash covers what can be read again.
            created_at: event.at.truncate_to_microsecond(),
            actor: event.actor.to_owned(),
            peer: event.peer.to_owned(),
            method: event.method.to_owned(),
            resource: event.resource.to_owned(),
            changed_fields: event.changed_fields.to_vec(),
            trace_id: event.trace_id.to_owned(),
            sequence: head.sequence + 1,
            previous_hash: head.hash,
            hash: Vec::new(),
        };
        row.hash = audit_chain::hash(&to_message(row.clone())).to_vec();
        let mut head = AuditHeadRow {
            tenant_id: head.tenant_id,
            sequence: row.sequence,
            hash: row.hash.clone(),
            signed_at: row.created_at,
            signature: Vec::new(),
        };
        head.signature = self.sign(&head)?;
        Ok(audit::append(db, &row, &head).await?)
    }

    fn sign(&self, head: &AuditHeadRow) -> Result<Vec<u8>, Error> {
        let statement = audit_chain::statement(&self.head(head.clone()));
        let signed = self.key.sign(&SystemRandom::new(), &statement);
        let signature = signed
            .map_err(|_| Error::Internal(anyhow::anyhow!("the audit log could not be signed")))?;
        Ok(signature.as_ref().to_vec())
    }

    /// A head as operators see it.
    pub fn head(&self, row: AuditHeadRow) -> AuditHead {
        AuditHead {
            name: match row.tenant_id.as_str() {
                "" => "auditHead".to_owned(),
                tenant => format!("tenants/{tenant}/auditHead"),
            },
            sequence: row.sequence.unsigned_abs(),
            hash: row.hash,
            sign_time: Some(to_proto(row.signed_at)),
            signature: row.signature,
            public_key: self.public_key().to_vec(),
        }
    }
}

/// A fresh signing key, PKCS#8.
///
/// # Errors
/// There is no randomness.
pub fn new_key() -> anyhow::Result<zeroize::Zeroizing<Vec<u8>>> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .ok()
        .context("no key could be made")?;
    Ok(zeroize::Zeroizing::new(key.as_ref().to_vec()))
}

/// An event as operators see it, and as it is hashed.
pub fn to_message(row: AuditEventRow) -> AuditEvent {
    let id = row.audit_event_id;
    AuditEvent {
        name: match row.tenant_id {
            Some(tenant) => format!("tenants/{tenant}/auditEvents/{id}"),
            None => format!("auditEvents/{id}"),
        },
        create_time: Some(to_proto(row.created_at)),
        actor: row.actor,
        peer: row.peer,
        method: row.method,
        resource: row.resource,
        changed_fields: row.changed_fields,
        trace_id: row.trace_id,
        sequence: row.sequence.unsigned_abs(),
        previous_hash: row.previous_hash,
        hash: row.hash,
    }
}
