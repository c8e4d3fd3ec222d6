//! How fast callers may call; the control plane's clock stands still but where a test moves it.
use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use tonic::Code;
use uuid::Uuid;

use super::*;
use crate::{app::ServerSettings, clock::Clock};

/// A control plane where everything may happen five times a second.
async fn slow_world() -> (World, Arc<AtomicI64>) {
    let (start, passed) = (OffsetDateTime::now_utc(), Arc::new(AtomicI64::new(0)));
    let millis = Arc::clone(&passed);
    let clock =
        Clock::from_fn(move || start + time::Duration::milliseconds(millis.load(Ordering::SeqCst)));
    let five = NonZeroU32::new(5).unwrap();
    let settings = ServerSettings {
        calls_per_second: five,
        attempts_per_second: five,
        ..test_app::settings()
    };
    (World::start_with(clock, settings).await, passed)
}

async fn presets(world: &World, token: &str) -> Result<ListCollectorPresetsResponse, Status> {
    let request = ListCollectorPresetsRequest::default();
    world.call_as(Some(token), "CollectorService/ListCollectorPresets", request).await
}

fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info()?.retry_delay
}

#[tokio::test]
async fn who_calls_too_fast_is_told_when_to_come_back_and_nobody_else_waits() {
    let (world, passed) = slow_world().await;
    world.tenant("acme").await;
    let other = world.api_token(Role::Viewer, "acme").await;
    world.fleet("acme", "tokyo", &[]).await;
    passed.fetch_add(3600 * 1000, Ordering::SeqCst);

    let watched = WatchRelaysRequest { parent: "tenants/acme/fleets/tokyo".to_owned() };
    let path = "/ekiden.admin.v1.RelayService/WatchRelays";
    let _stream: tonic::Streaming<WatchRelaysResponse> =
        test_app::watch(&world.channel, Some(&world.token), path, watched).await.unwrap();
    for _ in 0..9 {
        presets(&world, &world.token).await.unwrap();
    }
    let status = presets(&world, &world.token).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(reason(&status), "CALLS_TOO_FAST");
    assert_eq!(retry_delay(&status), Some(Duration::from_millis(200)));
    presets(&world, &other).await.unwrap();

    passed.fetch_add(200, Ordering::SeqCst);
    presets(&world, &world.token).await.unwrap();
    presets(&world, &world.token).await.unwrap_err();
}

#[tokio::test]
async fn an_address_that_tries_many_tokens_is_refused_before_the_database_is_asked() {
    let (world, passed) = slow_world().await;
    presets(&world, &world.token).await.unwrap();
    let secret = world.token.splitn(3, '_').nth(2).unwrap();
    let wrong = || format!("eka_{}_{secret}", Uuid::new_v4().simple());
    for _ in 0..10 {
        assert_eq!(reason(&presets(&world, &wrong()).await.unwrap_err()), "TOKEN_INVALID");
    }
    presets(&world, &world.token).await.unwrap();
    passed.fetch_add(200, Ordering::SeqCst);
    assert_eq!(reason(&presets(&world, "a.b.c").await.unwrap_err()), "LOGINS_NOT_OFFERED");

    world.app.pool.close().await;
    for token in [wrong().as_str(), "nonsense", "a.b.c"] {
        let status = presets(&world, token).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{token}: {status:?}");
        assert_eq!(reason(&status), "ATTEMPTS_TOO_FAST");
        assert_eq!(retry_delay(&status), Some(Duration::from_millis(200)));
    }
    passed.fetch_add(200, Ordering::SeqCst);
    assert_ne!(reason(&presets(&world, &wrong()).await.unwrap_err()), "ATTEMPTS_TOO_FAST");
}
