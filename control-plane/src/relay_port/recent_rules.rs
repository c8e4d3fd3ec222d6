//! Enrollment rules as they were read a moment ago: a fleet that scales out asks for the same ones hundreds of times a second.
//!
//! What is remembered lets in, it never refuses: where it admits nobody, the rules are read anew. A rule that was deleted
//! meanwhile lets nobody in, since the relay's own row is written only where the rule is still there.
use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::aws_proof::not_admitted;
use crate::{
    error::Error,
    names::FleetName,
    store::{
        enrollment_rules::{self, EnrollmentRuleRow},
        scope::{Scope, ScopedPool},
    },
};

/// How long rules are remembered.
const REMEMBERED: Duration = Duration::from_secs(1);
/// Fleets whose rules are.
const FLEETS: u64 = 1024;
/// Rules of one fleet that are looked at.
const RULES: i64 = 200;

/// A fleet's rules; there is at least one.
pub(super) type Rules = Arc<[EnrollmentRuleRow]>;

/// Rules by fleet.
pub struct RecentRules(Cache<FleetName, Rules>);

impl Default for RecentRules {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(FLEETS).time_to_live(REMEMBERED).build())
    }
}

impl RecentRules {
    /// The fleet's rules as remembered.
    pub(super) fn remembered(&self, fleet: &FleetName) -> Option<Rules> {
        self.0.get(fleet)
    }

    /// Reads the fleet's rules.
    ///
    /// # Errors
    /// `AWS_ROLE_NOT_ADMITTED` where there are none, or no such fleet: that tells no more than a role that is not admitted.
    pub(super) async fn read(&self, pool: &ScopedPool, fleet: &FleetName) -> Result<Rules, Error> {
        let mut db = pool.begin(&Scope::Tenant(fleet.tenant.clone())).await?;
        let rules: Rules = enrollment_rules::list(&mut db, fleet, None, RULES).await?.into();
        if rules.is_empty() {
            return Err(not_admitted("any"));
        }
        self.0.insert(fleet.clone(), Arc::clone(&rules));
        Ok(rules)
    }
}
