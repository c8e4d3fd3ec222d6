use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering::SeqCst},
};

use ekiden_proto::admin::v1::{ListMasterKeysRequest, ListMasterKeysResponse};
use futures_util::future::{BoxFuture, FutureExt, ready};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::*;
use crate::{
    lifecycle::check_master_keys,
    names::AccessKeyName,
    store::{access_keys::place, heads_follow},
    test_app::{TestApp, new_master_key},
    vault::{KmsError, MasterKey, Sealed, Vault},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A master key of a service that breaks off after so many calls; none are left when it is away.
struct Fragile {
    key: Arc<dyn MasterKey>,
    calls_left: Arc<AtomicI64>,
}

impl Fragile {
    fn take(&self, action: &'static str) -> Result<(), VaultError> {
        match self.calls_left.fetch_sub(1, SeqCst) > 0 {
            true => Ok(()),
            false => Err(KmsError::Away { action, message: "no answer".to_owned() }.into()),
        }
    }
}

impl MasterKey for Fragile {
    fn id(&self) -> &str {
        self.key.id()
    }

    fn wrap<'a>(
        &'a self,
        place: &'a str,
        data_key: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, VaultError>> {
        match self.take("kms:Encrypt") {
            Ok(()) => self.key.wrap(place, data_key),
            Err(error) => ready(Err(error)).boxed(),
        }
    }

    fn unwrap<'a>(
        &'a self,
        place: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, VaultError>> {
        match self.take("kms:Decrypt") {
            Ok(()) => self.key.unwrap(place, wrapped),
            Err(error) => ready(Err(error)).boxed(),
        }
    }
}

async fn listed(app: &TestApp) -> ListMasterKeysResponse {
    app.call("MasterKeyService/ListMasterKeys", ListMasterKeysRequest::default()).await.unwrap()
}

/// Secrets under a master key.
async fn under(app: &TestApp, key: &Arc<dyn MasterKey>) -> u64 {
    let listed = listed(app).await;
    listed.master_keys.iter().find(|k| k.id == key.id()).map_or(0, |k| k.secrets)
}

async fn until(what: &str, wanted: impl AsyncFn() -> bool) {
    let reached = async {
        while !wanted().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(timeout(PATIENCE, reached).await.is_ok(), "{what}");
}

/// Opens the one version of an access key as this process would.
async fn opened(app: &TestApp, tenant: &str, id: &str) -> Zeroizing<Vec<u8>> {
    let fleet = crate::names::FleetName { tenant: tenant.to_owned(), fleet: "tokyo".to_owned() };
    let mut db = app.app.pool.begin(&Scope::Tenant(tenant.to_owned())).await.unwrap();
    let rows = heads_follow::keys(&mut db, &fleet).await.unwrap();
    let row = rows.into_iter().find(|row| row.access_key_id == id).unwrap();
    let name = AccessKeyName { tenant: tenant.to_owned(), access_key: row.access_key_id };
    let sealed = Sealed {
        sealed: row.sealed,
        wrapped_data_key: row.wrapped_data_key,
        master_key_id: row.master_key_id,
    };
    app.app.vault.open(&place(&name, row.key_version), &sealed).await.unwrap()
}

async fn customer(app: &TestApp) {
    app.tenant("acme").await;
    app.access_key("acme", "main", "the-secret").await;
    app.collector("acme", "vendor", "main").await;
    app.fleet("acme", "tokyo", &["vendor"]).await;
}

#[tokio::test]
async fn nothing_is_under_a_key_that_another_process_lacks_and_all_moves_when_it_has_left() {
    let (old, new) = (new_master_key(), new_master_key());
    let one = TestApp::start_under(vec![Arc::clone(&old)]).await;
    customer(&one).await;
    let two = one.beside_under(vec![Arc::clone(&new), Arc::clone(&old)]).await;
    until("the second process notices the first", async || {
        two.app.vault.sealing_key_id() == old.id()
    })
    .await;
    two.access_key("acme", "later", "another-secret").await;
    assert_eq!(under(&two, &new).await, 0);
    assert_eq!(&**opened(&one, "acme", "main").await, b"the-secret");

    one.leave();
    until("every secret has moved", async || under(&two, &old).await == 0).await;
    let all = listed(&two).await;
    assert_eq!((all.replicas, all.master_keys.len()), (1, 2), "{all:?}");
    assert!(under(&two, &new).await > 2);

    let three = two.beside_under(vec![Arc::clone(&new)]).await;
    assert_eq!(&**opened(&three, "acme", "main").await, b"the-secret");
    let error = check_master_keys(&three.app.pool, &Vault::new(Arc::clone(&old))).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(new.id()) && error.contains("--master-key-also"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_taken_back_in_the_middle_of_a_roll_out_moves_nothing() {
    let (old, new) = (new_master_key(), new_master_key());
    let one = TestApp::start_under(vec![Arc::clone(&old), Arc::clone(&new)]).await;
    customer(&one).await;
    let before = under(&one, &old).await;
    let two = one.beside_under(vec![Arc::clone(&new), Arc::clone(&old)]).await;
    until("both processes are known", async || listed(&one).await.replicas == 2).await;
    for _ in 0..30 {
        assert_eq!(under(&one, &old).await, before);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    two.leave();
    until("the second process has left", async || listed(&one).await.replicas == 1).await;
    assert_eq!((under(&one, &old).await, under(&one, &new).await), (before, 0));
}

#[tokio::test]
async fn a_move_that_breaks_off_in_the_middle_is_finished_by_another_process() {
    let (old, new) = (new_master_key(), new_master_key());
    let one = TestApp::start_under(vec![Arc::clone(&old)]).await;
    customer(&one).await;
    for number in 0..2 * BATCH {
        one.access_key("acme", &format!("key-{number}"), "another-secret").await;
    }
    let all = under(&one, &old).await;
    let calls_left = Arc::new(AtomicI64::new(BATCH + 50));
    let fragile = Fragile { key: Arc::clone(&new), calls_left: Arc::clone(&calls_left) };
    let two = one.beside_under(vec![Arc::new(fragile), Arc::clone(&old)]).await;
    one.leave();
    until("the service breaks off", async || calls_left.load(SeqCst) < 0).await;
    let moved = under(&two, &new).await;
    assert!(moved > 0 && moved < all, "{moved} of {all}");
    two.stop();

    let three = two.beside_under(vec![Arc::clone(&new), Arc::clone(&old)]).await;
    until("every secret has moved", async || under(&three, &new).await == all).await;
    assert_eq!(&**opened(&three, "acme", "main").await, b"the-secret");
    let trail = three.audit("-").await;
    assert!(trail.iter().any(|e| e.method == "move all secrets to a master key"), "{trail:?}");
}

#[tokio::test]
async fn while_the_master_key_is_away_calls_say_so_and_go_through_later() {
    let calls_left = Arc::new(AtomicI64::new(i64::MAX));
    let fragile = Fragile { key: new_master_key(), calls_left: Arc::clone(&calls_left) };
    let app = TestApp::start_under(vec![Arc::new(fragile)]).await;
    customer(&app).await;
    calls_left.store(0, SeqCst);
    let request = crate::test_app::customer::create_access_key("acme", "later", "another-secret");
    let refused = app
        .call::<_, ekiden_proto::admin::v1::CreateAccessKeyResponse>(
            "AccessKeyService/CreateAccessKey",
            request.clone(),
        )
        .await
        .unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    calls_left.store(i64::MAX, SeqCst);
    let _: ekiden_proto::admin::v1::CreateAccessKeyResponse =
        app.call("AccessKeyService/CreateAccessKey", request).await.unwrap();
}

#[tokio::test]
async fn a_damaged_secret_holds_up_no_other() {
    let (old, new) = (new_master_key(), new_master_key());
    let one = TestApp::start_under(vec![Arc::clone(&old)]).await;
    customer(&one).await;
    one.access_key("acme", "damaged", "another-secret").await;
    let mut db = one.database.pool.acquire().await.unwrap();
    let damage =
        "update access_key_versions set wrapped_data_key = '' where access_key_id = 'damaged'";
    crate::test_database::execute(&mut db, damage).await;
    drop(db);
    let all = under(&one, &old).await;
    let two = one.beside_under(vec![Arc::clone(&new), Arc::clone(&old)]).await;
    one.leave();
    until("all others have moved", async || under(&two, &new).await == all - 1).await;
    assert_eq!(under(&two, &old).await, 1);
}

#[test]
fn a_master_key_that_is_refused_is_told_with_the_action_and_ends_no_session() {
    let refused = KmsError::Refused { action: "kms:Decrypt", message: "DisabledException".into() };
    let error = Error::from(VaultError::from(refused));
    assert_eq!(error.reason(), "MASTER_KEY_REFUSED");
    assert!(matches!(error, Error::Unavailable { .. }));
    assert!(error.cause().contains("kms:Decrypt: DisabledException"), "{}", error.cause());
}
