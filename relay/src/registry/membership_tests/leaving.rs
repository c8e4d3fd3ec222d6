//! The ways out: for good, and for as long as collectors cannot be reached.
use super::*;

#[tokio::test]
async fn leaving_ends_when_dns_no_longer_answers_however_often_it_takes() {
    let mut stage = Stage::own().await;
    assert_eq!(stage.membership.ttl(), None);
    stage.until(Registration::in_dns).await;
    assert_eq!(stage.membership.ttl(), Some(Duration::from_secs(10)));
    stage.world.state().failures.push_back(RegistryError::Unfinished);
    timeout(SAFETY, stage.membership.leave()).await.unwrap();
    assert!(stage.world.listed(FIRST.0).is_empty());
    assert_eq!(
        stage.world.state().calls,
        ["register srv-one", "deregister srv-one", "deregister srv-one"]
    );
    let state = stage.state.borrow().clone();
    assert!(!state.registered() && !state.in_dns());
}

#[tokio::test]
async fn a_relay_told_to_leave_in_the_middle_of_registering_is_taken_off_the_list() {
    let mut stage = Stage::own().await;
    let world = stage.world.clone();
    let called = async {
        while world.state().calls.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = stage.membership.run(|| 0.0) => {}
        () = called => {}
    }
    timeout(SAFETY, stage.membership.leave()).await.unwrap();
    assert!(stage.world.listed(FIRST.0).is_empty());
}

#[tokio::test]
async fn where_the_control_plane_is_silent_dns_says_whether_a_relay_is_the_last() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
    let soon = Instant::now() + Duration::from_millis(10);
    assert_eq!(stage.membership.permit(soon).await, Permit::Stay);
    let sibling = Listed {
        instance: "sibling".to_owned(),
        address: Some(IpAddr::from([10, 0, 9, 9])),
        ..Listed::default()
    };
    stage
        .world
        .state()
        .services
        .entry(FIRST.0.to_owned())
        .or_default()
        .insert("sibling".to_owned(), sibling);
    let soon = Instant::now() + Duration::from_millis(10);
    assert_eq!(stage.membership.permit(soon).await, Permit::Leave);
}

#[tokio::test]
async fn without_a_control_plane_nobody_would_take_out_what_stays() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
    stage.departure.nobody_decides();
    let soon = Instant::now() + Duration::from_millis(10);
    assert_eq!(stage.membership.permit(soon).await, Permit::Leave);
}

#[tokio::test]
async fn a_relay_that_is_listed_nowhere_needs_no_leave() {
    let mut stage = Stage::own().await;
    assert_eq!(stage.membership.permit(Instant::now()).await, Permit::Leave);
    assert!(!stage.departure.is_asked());
}

#[tokio::test]
async fn a_relay_that_cannot_deliver_is_out_of_dns_for_as_long_as_others_can() {
    let mut stage = Stage::own().await;
    stage.until(Registration::in_dns).await;
    tokio::time::pause();
    stage.delivers.send_replace(false);
    stage.departure.answer(LeaveVerdict::Wait);
    tokio::select! {
        () = stage.membership.run(|| 0.0) => {}
        () = sleep(Duration::from_secs(4)) => assert!(!stage.departure.is_asked(), "a blip"),
    }
    let departure = stage.departure.clone();
    let vendor_is_down_for_all = async {
        for _ in 0..60 {
            departure.answer(LeaveVerdict::Wait);
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = stage.membership.run(|| 0.0) => {}
        () = vendor_is_down_for_all => {}
    }
    assert_eq!(stage.world.listed(FIRST.0).len(), 1);
    assert!(stage.departure.is_asked());

    stage.departure.answer(LeaveVerdict::Granted);
    stage.until(|state| !state.registered()).await;
    assert!(stage.world.listed(FIRST.0).is_empty());
    tokio::time::resume();
    stage.delivers.send_replace(true);
    stage.until(Registration::in_dns).await;
    assert!(!stage.departure.is_asked());
    assert_eq!(
        stage.world.state().calls,
        ["register srv-one", "deregister srv-one", "register srv-one"]
    );
}
