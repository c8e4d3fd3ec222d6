use std::path::Path;

use tokio::{task::JoinSet, time::timeout};

use super::*;
use crate::{
    fake_control_plane::{FLEET, FakeControlPlane, SAFETY, TOKEN},
    state_dir::StateDir,
};

mod roles;

struct Kept {
    identity: watch::Receiver<Option<Arc<Identity>>>,
    message: watch::Receiver<String>,
    view: watch::Sender<View>,
    _keeping: JoinSet<()>,
}

impl Kept {
    fn start(control_plane: &FakeControlPlane, folder: &Path, token: Option<&str>) -> Self {
        Self::start_at(control_plane, folder, token, Clock::system())
    }

    fn start_at(
        control_plane: &FakeControlPlane,
        folder: &Path,
        token: Option<&str>,
        clock: Clock,
    ) -> Self {
        Self::start_as(control_plane, folder, None, token, clock)
    }

    fn start_as(
        control_plane: &FakeControlPlane,
        folder: &Path,
        role: Option<AwsRole>,
        token: Option<&str>,
        clock: Clock,
    ) -> Self {
        let message = watch::Sender::new(String::new());
        let keeper = Keeper {
            dialer: control_plane.dialer(),
            store: Store::new(StateDir::open(folder).unwrap()),
            role: role.map(|role| (role, FLEET.to_owned())),
            token: token.map(|token| TokenSource::Text(SecretString::from(token))),
            description: RelayDescription::default(),
            clock,
            message: message.clone(),
        };
        let (identity, view) = (watch::Sender::new(None), watch::Sender::new(View::default()));
        let mut keeping = JoinSet::new();
        keeping.spawn(keeper.keep(identity.clone(), view.subscribe(), || 0.0));
        Self {
            identity: identity.subscribe(),
            message: message.subscribe(),
            view,
            _keeping: keeping,
        }
    }

    async fn next(&mut self, wanted: impl Fn(&Identity) -> bool) -> Arc<Identity> {
        let found = self
            .identity
            .wait_for(|identity| identity.as_ref().is_some_and(|identity| wanted(identity)));
        timeout(SAFETY, found).await.unwrap().unwrap().clone().unwrap()
    }

    async fn told(&mut self) -> String {
        timeout(SAFETY, self.message.wait_for(|message| !message.is_empty()))
            .await
            .unwrap()
            .unwrap()
            .clone()
    }
}

#[tokio::test]
async fn an_identity_is_kept_over_restarts() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = Kept::start(&control_plane, folder.path(), Some(TOKEN)).next(|_| true).await;
    let again = Kept::start(&control_plane, folder.path(), None).next(|_| true).await;
    assert_eq!(control_plane.enrollments(), 1);
    assert_eq!(
        (&first.relay, &first.chain, first.private_key()),
        (&again.relay, &again.chain, again.private_key())
    );
    assert_eq!(first.renew_at.unix_timestamp(), again.renew_at.unix_timestamp());
}

#[tokio::test]
async fn an_identity_is_renewed_in_time_with_a_new_key_and_the_same_name() {
    let control_plane = FakeControlPlane::start().await;
    control_plane.change(|behaviour| behaviour.renew_in = Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(&control_plane, folder.path(), Some(TOKEN));
    let first = kept.next(|_| true).await;
    let renewed = kept.next(|identity| identity.chain != first.chain).await;
    assert_eq!(renewed.relay, first.relay);
    assert_ne!(renewed.private_key(), first.private_key());
    assert_eq!((control_plane.enrollments(), control_plane.renewals()), (1, 1));
    let saved = Store::new(StateDir::open(folder.path()).unwrap()).load().unwrap().unwrap();
    assert_eq!(saved.chain, renewed.chain);
}

#[tokio::test]
async fn an_identity_that_ended_while_the_relay_was_away_is_renewed_without_a_token() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = Kept::start(&control_plane, folder.path(), Some(TOKEN)).next(|_| true).await;
    // What was issued for an hour has ended by this clock.
    let later = Clock::from_fn(|| OffsetDateTime::now_utc() + Duration::from_secs(2 * 3600));
    let mut kept = Kept::start_at(&control_plane, folder.path(), Some("ekr_01_used-up"), later);
    let renewed = kept.next(|_| true).await;
    assert_eq!(renewed.relay, first.relay);
    assert_ne!(renewed.chain, first.chain);
    assert_eq!(control_plane.enrollments(), 1);
}

#[tokio::test]
async fn a_refused_identity_is_replaced_by_a_new_one() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(&control_plane, folder.path(), Some(TOKEN));
    let first = kept.next(|_| true).await;
    kept.view.send_modify(|view| view.refused = Some(Arc::clone(&first)));
    let second = kept.next(|identity| identity.relay != first.relay).await;
    assert_eq!(second.relay.relay, "relay-2");
}

#[tokio::test]
async fn a_refused_token_is_told_with_what_to_do() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let told = Kept::start(&control_plane, folder.path(), Some("ekr_01_used-up")).told().await;
    assert!(told.contains("the enrollment token is not known"), "{told}");
    assert!(told.contains("new enrollment token"), "{told}");
    assert!(!told.contains("ekr_01_used-up"), "{told}");
}

#[tokio::test]
async fn a_missing_token_is_told_with_what_to_set() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let told = Kept::start(&control_plane, folder.path(), None).told().await;
    assert!(told.contains("EKIDEN_ENROLLMENT_TOKEN"), "{told}");
}

#[tokio::test]
async fn a_damaged_identity_on_disk_is_replaced() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("identity.json"), "{\"relay\":").unwrap();
    Kept::start(&control_plane, folder.path(), Some(TOKEN)).next(|_| true).await;
    assert_eq!(control_plane.enrollments(), 1);
}

#[tokio::test]
async fn an_identity_refused_for_a_while_goes_on_when_it_is_accepted_again() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = Kept::start(&control_plane, folder.path(), Some(TOKEN)).next(|_| true).await;
    let mut kept = Kept::start(&control_plane, folder.path(), Some("ekr_01_used-up"));
    let held = kept.next(|_| true).await;
    assert_eq!(held.relay, first.relay);
    kept.view.send_modify(|view| view.refused = Some(Arc::clone(&held)));
    kept.told().await;
    let accepted = crate::session::Parameters {
        session: "session-2".to_owned(),
        health_interval: SAFETY,
        heartbeat_interval: SAFETY,
        reconnect_spread: Duration::ZERO,
        clock_ahead: None,
    };
    kept.identity.mark_unchanged();
    kept.view.send_modify(|view| {
        view.refused = None;
        view.parameters = Some(accepted);
    });
    timeout(SAFETY, kept.identity.changed()).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(kept.identity.borrow().as_ref().unwrap(), &held));
}

#[tokio::test]
async fn an_identity_that_has_ended_by_the_control_planes_clock_is_renewed() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut kept = Kept::start(&control_plane, folder.path(), Some(TOKEN));
    let first = kept.next(|_| true).await;
    kept.view.send_modify(|view| {
        view.refused = Some(Arc::clone(&first));
        view.refused_as_ended = true;
    });
    let renewed = kept.next(|identity| identity.chain != first.chain).await;
    assert_eq!(renewed.relay, first.relay);
    assert_eq!((control_plane.enrollments(), control_plane.renewals()), (1, 1));
}

#[tokio::test]
async fn a_certificate_of_seconds_is_shown_until_shortly_before_its_end() {
    let control_plane = FakeControlPlane::start().await;
    control_plane.change(|behaviour| {
        behaviour.life = Duration::from_secs(10);
        behaviour.renew_in = Duration::from_secs(5);
    });
    let folder = tempfile::tempdir().unwrap();
    let first = Kept::start(&control_plane, folder.path(), Some(TOKEN)).next(|_| true).await;
    assert!(first.is_worth_a_connection(first.not_after - Duration::from_secs(3)));
    assert!(!first.is_worth_a_connection(first.not_after - Duration::from_secs(1)));
}
