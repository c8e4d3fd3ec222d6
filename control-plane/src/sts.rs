//! Checks a relay's proof of its AWS identity: asks STS, with a request of our own under the relay's signature, who signed.
//!
//! A relay signs `sts:GetCallerIdentity` over a [`challenge`] and sends what only it can know; it needs no permission
//! and no network for that. The request is rebuilt here from constants, so a relay chooses neither host nor path,
//! query, method, body or header names. What STS answers says account and role, and those alone are proven.
use std::sync::Arc;

use time::Duration;
use tokio::sync::Semaphore;

use crate::{
    clock::Clock,
    https::{Https, HttpsError},
};

mod answer;
mod caller;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod json;
mod proof;
mod regions;
mod request;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod signing;
#[cfg(test)]
pub(crate) mod sigv4;
#[cfg(test)]
pub(crate) mod stand_in;
#[cfg(test)]
mod tests;

pub use caller::CallerIdentity;
pub use ekiden_proto::aws_challenge::challenge;
pub use error::StsError;
pub use proof::{Proof, ProofFields};
pub use regions::{Partition, Region};

/// Oldest proof that is taken; STS itself takes no older one.
const OLDEST: Duration = Duration::minutes(15);
/// How far a relay's clock may be ahead.
const FURTHEST_AHEAD: Duration = Duration::seconds(60);
/// Calls of STS at once.
const CALLS_AT_ONCE: usize = 256;

/// Asks STS; cheap to clone.
#[derive(Clone)]
pub struct Sts {
    https: Https,
    clock: Clock,
    partitions: Arc<[Partition]>,
    calls: Arc<Semaphore>,
}

impl Sts {
    /// Asks the STS of regions in these partitions, at most 256 calls at once.
    pub fn new(https: Https, clock: Clock, partitions: &[Partition]) -> Self {
        let calls = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        Self { https, clock, partitions: partitions.into(), calls }
    }

    /// Asks STS whose proof this is; it must be signed over this challenge and this audience. Nothing is kept.
    ///
    /// # Errors
    /// [`StsError`]; [`StsError::retry`] says of each whether the same proof may be tried again.
    pub async fn caller(
        &self,
        proof: &Proof,
        challenge: &str,
        audience: &str,
    ) -> Result<CallerIdentity, StsError> {
        let partition = proof.region().partition();
        if !self.partitions.contains(&partition) {
            return Err(StsError::PartitionNotAllowed { partition });
        }
        self.check_date(proof)?;
        let request = request::rebuild(proof, challenge, audience)?;
        let Ok(_call) = self.calls.try_acquire() else { return Err(StsError::TooManyCalls) };
        let answer = self.https.send(request).await.map_err(|error| match error {
            HttpsError::TooLong { .. } => StsError::AnswerTooLong,
            HttpsError::Unreachable { .. } => StsError::Unreachable(error),
        })?;
        CallerIdentity::read(&answer::read(&answer)?, partition)
    }

    fn check_date(&self, proof: &Proof) -> Result<(), StsError> {
        let age = self.clock.now() - proof.signed_at();
        if age > OLDEST {
            return Err(StsError::DateTooOld { seconds: age.whole_seconds() });
        }
        if -age > FURTHEST_AHEAD {
            return Err(StsError::DateAhead { seconds: -age.whole_seconds() });
        }
        Ok(())
    }
}
