//! Issuers' keys: fetched by discovery, kept, and never asked for so often that a stranger's tokens could make us a nuisance.
use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwapOption;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use jsonwebtoken::DecodingKey;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio_util::task::TaskTracker;

use super::{Algorithm, Issuer, OidcError, jwks::KeySet};
use crate::{
    clock::Clock,
    https::{Https, HttpsError},
};

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

/// How long keys count without asking again.
const FRESH: Duration = Duration::hours(1);
/// How long they count while the issuer cannot be asked.
const USABLE: Duration = Duration::hours(24);
/// How long an issuer is left alone after it was asked.
const PAUSE: Duration = Duration::minutes(1);
/// How long an issuer must be out of use before another may take its place: longer than its pause, so that none is asked more often.
const IDLE: Duration = Duration::minutes(2);
/// Most issuers at once: AWS has one for each account, and a provider hundreds of accounts.
const MOST: usize = 4096;

/// How many issuers that nobody named are met a second, beyond [`STRANGERS_AT_ONCE`]: fewer than find room in the time after
/// which a stranger's place is given away.
const STRANGERS: NonZeroU32 = NonZeroU32::new(10).unwrap();
const STRANGERS_AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// Keys of the issuers in use.
pub struct KeySets {
    https: Https,
    clock: Clock,
    issuers: Mutex<HashMap<Issuer, Kept>>,
    fetches: TaskTracker,
    strangers: DefaultDirectRateLimiter,
}

struct Kept {
    keys: Arc<Keys>,
    used_at: OffsetDateTime,
}

/// Keys of one issuer.
#[derive(Default)]
struct Keys {
    fetched: ArcSwapOption<Fetched>,
    /// Whoever asks the issuer holds it; all others wait for the answer.
    asking: Arc<AsyncMutex<LastAsked>>,
}

struct Fetched {
    set: KeySet,
    at: OffsetDateTime,
}

#[derive(Default)]
struct LastAsked {
    at: Option<OffsetDateTime>,
    failure: Option<OidcError>,
}

impl KeySets {
    /// Nothing is fetched before a token asks for it.
    pub fn new(https: Https, clock: Clock) -> Self {
        let pace = Quota::per_second(STRANGERS).allow_burst(STRANGERS_AT_ONCE);
        Self {
            https,
            clock,
            issuers: Mutex::default(),
            fetches: TaskTracker::new(),
            strangers: RateLimiter::direct(pace),
        }
    }

    /// Lets through an issuer that is known, or a new one that nobody named as long as not too many come.
    ///
    /// # Errors
    /// [`OidcError::IssuersTooMany`].
    pub fn may_meet(&self, issuer: &Issuer) -> Result<(), OidcError> {
        let issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if issuers.contains_key(issuer) || self.strangers.check().is_ok() {
            return Ok(());
        }
        Err(OidcError::IssuersTooMany)
    }

    /// The key of a registered issuer by its id, for one way of signing.
    ///
    /// # Errors
    /// [`OidcError::KeyUnknown`], [`OidcError::KeyOfOtherAlgorithm`], or what is wrong with the issuer, which
    /// [`OidcError::is_temporary`].
    pub async fn key(
        &self,
        issuer: &Issuer,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<DecodingKey, OidcError> {
        let now = self.clock.now();
        let keys = self.keep(issuer, now)?;
        if let Some(answer) = keys.answer(kid, algorithm, now, FRESH) {
            return answer;
        }
        let asking = match Arc::clone(&keys.asking).try_lock_owned() {
            Ok(asking) => asking,
            Err(_) => {
                // Whose key is known does not wait for an issuer that may be slow or away.
                if let Some(Ok(key)) = keys.answer(kid, algorithm, now, USABLE) {
                    return Ok(key);
                }
                Arc::clone(&keys.asking).lock_owned().await
            }
        };
        if let Some(answer) = keys.answer(kid, algorithm, now, FRESH) {
            return answer;
        }
        let failure = if asking.at.is_none_or(|at| is_past(at, PAUSE, now)) {
            self.fetch(issuer.clone(), Arc::clone(&keys), asking, now).await
        } else {
            asking.failure.clone()
        };
        let answer = keys.answer(kid, algorithm, now, USABLE).unwrap_or(Err(OidcError::KeyUnknown));
        answer.map_err(|error| failure.unwrap_or(error))
    }

    /// Fetches in a task of its own: a caller who goes away neither stops the fetch nor saves the issuer's pause for the next.
    async fn fetch(
        &self,
        issuer: Issuer,
        keys: Arc<Keys>,
        mut asking: OwnedMutexGuard<LastAsked>,
        now: OffsetDateTime,
    ) -> Option<OidcError> {
        *asking = LastAsked { at: Some(now), failure: Some(OidcError::IssuerUnreachable) };
        let https = self.https.clone();
        let task = self.fetches.spawn(async move {
            asking.failure = match fetch(&https, &issuer).await {
                Ok(set) => {
                    keys.fetched.store(Some(Arc::new(Fetched { set, at: now })));
                    None
                }
                Err(error) => {
                    tracing::info!(
                        issuer.url = issuer.url(),
                        reason = error.reason(),
                        "An issuer's keys could not be fetched; those known count for a day"
                    );
                    Some(error)
                }
            };
            asking.failure.clone()
        });
        task.await.unwrap_or(Some(OidcError::IssuerUnreachable))
    }

    fn keep(&self, issuer: &Issuer, now: OffsetDateTime) -> Result<Arc<Keys>, OidcError> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = issuers.get_mut(issuer) {
            kept.used_at = now;
            return Ok(Arc::clone(&kept.keys));
        }
        if issuers.len() >= MOST {
            let idle = issuers.iter().filter(|(_, kept)| is_past(kept.used_at, IDLE, now));
            let longest = idle.min_by_key(|(_, kept)| kept.used_at).map(|(idle, _)| idle.clone());
            issuers.remove(&longest.ok_or(OidcError::IssuersTooMany)?);
        }
        let keys = Arc::<Keys>::default();
        issuers.insert(issuer.clone(), Kept { keys: Arc::clone(&keys), used_at: now });
        Ok(keys)
    }
}

impl Keys {
    /// What keys not older than `age` say; nothing where newer ones could say more.
    fn answer(
        &self,
        kid: &str,
        algorithm: Algorithm,
        now: OffsetDateTime,
        age: Duration,
    ) -> Option<Result<DecodingKey, OidcError>> {
        let fetched = self.fetched.load_full()?;
        if is_past(fetched.at, age, now) {
            return None;
        }
        match fetched.set.key(kid, algorithm) {
            Err(OidcError::KeyUnknown) => None,
            answer => Some(answer),
        }
    }
}

/// Tells whether `age` has passed since `at`, or the clock was set back as far; callers' readings of it may cross.
fn is_past(at: OffsetDateTime, age: Duration, now: OffsetDateTime) -> bool {
    (now - at).abs() >= age
}

/// Fetches keys (OpenID Connect Discovery 1.0, sections 4.1 and 4.3).
async fn fetch(https: &Https, issuer: &Issuer) -> Result<KeySet, OidcError> {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
        jwks_uri: String,
    }
    let document = get(https, issuer, issuer.discovery().clone()).await?;
    let document: Discovery =
        serde_json::from_slice(&document).map_err(|_| OidcError::DiscoveryUnreadable)?;
    if document.issuer != issuer.url() {
        return Err(OidcError::DiscoveryOfOtherIssuer);
    }
    let jwks_uri = Url::parse(&document.jwks_uri).map_err(|_| OidcError::JwksUriRefused)?;
    if !issuer.allows(&jwks_uri) {
        return Err(OidcError::JwksUriRefused);
    }
    KeySet::read(&get(https, issuer, jwks_uri).await?)
}

async fn get(https: &Https, issuer: &Issuer, url: Url) -> Result<Vec<u8>, OidcError> {
    let answer = https.get(url).await.map_err(|error| match error {
        HttpsError::Unreachable { .. } => {
            let error = anyhow::Error::new(error);
            tracing::debug!(issuer.url = issuer.url(), error = format!("{error:#}"), "No answer");
            OidcError::IssuerUnreachable
        }
        HttpsError::TooLong { .. } => OidcError::IssuerAnswerTooLong,
    })?;
    if answer.status != StatusCode::OK {
        return Err(OidcError::IssuerStatus { status: answer.status.as_u16() });
    }
    Ok(answer.body)
}
