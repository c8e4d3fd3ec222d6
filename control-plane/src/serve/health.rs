//! The standard health service: SERVING while the database answers.
use std::time::Duration;

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::store::databases;

/// How often the database is asked.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long its answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Failures in a row after which it counts as gone; one may be a connection that was due to end.
const FAILURES: u32 = 2;

/// Keeps the reported health true until told to stop.
///
/// Asks on a connection of its own, since a pool that is busy says nothing about the database.
pub(super) async fn follow(
    reporter: HealthReporter,
    services: Vec<String>,
    database: PgConnectOptions,
    stop: CancellationToken,
) {
    set(&reporter, &services, false).await;
    let mut connection = None;
    let mut serving = false;
    let mut failures = 0;
    loop {
        let asked = async {
            let mut open = match connection.take() {
                Some(open) => open,
                None => PgConnection::connect_with(&database).await?,
            };
            databases::ping(&mut open).await.map(|()| open)
        };
        let answered = match timeout(ANSWER_WITHIN, asked).await {
            Ok(Ok(open)) => {
                connection = Some(open);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it did not answer in time".to_owned()),
        };
        match answered {
            Ok(()) => {
                failures = 0;
                if !serving {
                    serving = true;
                    set(&reporter, &services, true).await;
                    tracing::info!("The database answers; serving");
                }
            }
            Err(error) => {
                failures += 1;
                if serving && failures >= FAILURES {
                    serving = false;
                    set(&reporter, &services, false).await;
                    tracing::warn!(
                        error,
                        "The database does not answer; sessions go on with what is known"
                    );
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Reports the whole server, which has the empty name, and each service.
pub(super) async fn set(reporter: &HealthReporter, services: &[String], serving: bool) {
    let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status("", status).await;
    for service in services {
        reporter.set_service_status(service, status).await;
    }
}
