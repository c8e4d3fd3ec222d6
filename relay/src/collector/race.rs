//! Tries several addresses: the next one when one fails or hesitates, the first to answer wins.

use std::{collections::VecDeque, future::pending, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::sleep;

/// How long an address may hesitate before the next is tried beside it. RFC 8305 §8 has 250 ms; this leaves time for a
/// round trip around the world.
pub(super) const HEDGE_AFTER: Duration = Duration::from_millis(300);

/// A success, and who was overtaken on the way: begun before the winner and still without an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Won<T, C> {
    pub(super) value: T,
    pub(super) overtaken: Vec<C>,
}

/// Runs `attempt` for candidates in order, each when the one before has failed or has taken too long; gives the first
/// success, or the last error. None: there were no candidates.
pub(super) async fn race<C, T, E, F>(
    candidates: &mut VecDeque<C>,
    attempt: impl Fn(C) -> F,
) -> Option<Result<Won<T, C>, E>>
where
    C: Clone,
    F: Future<Output = Result<T, E>>,
{
    let mut running = FuturesUnordered::new();
    let mut begun = Vec::new();
    let next = |candidates: &mut VecDeque<C>, begun: &mut Vec<Option<C>>| {
        let candidate = candidates.pop_front()?;
        begun.push(Some(candidate.clone()));
        let (at, attempt) = (begun.len() - 1, attempt(candidate));
        Some(async move { (at, attempt.await) })
    };
    running.push(next(candidates, &mut begun)?);
    loop {
        let hedge = async {
            match candidates.is_empty() {
                true => pending().await,
                false => sleep(HEDGE_AFTER).await,
            }
        };
        tokio::select! {
            Some((at, finished)) = running.next() => match finished {
                Ok(value) => {
                    begun.truncate(at);
                    return Some(Ok(Won { value, overtaken: begun.into_iter().flatten().collect() }));
                }
                Err(error) => {
                    if let Some(candidate) = begun.get_mut(at) {
                        *candidate = None;
                    }
                    match next(candidates, &mut begun) {
                        Some(attempt) => running.push(attempt),
                        None if running.is_empty() => return Some(Err(error)),
                        None => {}
                    }
                }
            },
            () = hedge => running.extend(next(candidates, &mut begun)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    /// Milliseconds that a candidate takes, and whether it succeeds.
    type Candidate = (u64, bool);

    async fn run(
        candidates: &[Candidate],
    ) -> (Option<Result<Won<u64, Candidate>, u64>>, Vec<Duration>, Duration) {
        let start = Instant::now();
        let begun = Mutex::new(Vec::new());
        let mut queue = candidates.iter().copied().collect();
        let result = race(&mut queue, |(millis, succeeds)| {
            begun.lock().unwrap().push(start.elapsed());
            async move {
                sleep(Duration::from_millis(millis)).await;
                if succeeds { Ok(millis) } else { Err(millis) }
            }
        });
        let result = result.await;
        (result, begun.into_inner().unwrap(), start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_quick_first_address_is_the_only_one_tried() {
        let (result, begun, _) = run(&[(100, true), (1, true)]).await;
        assert_eq!(result, Some(Ok(Won { value: 100, overtaken: vec![] })));
        assert_eq!(begun.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hesitating_address_gets_company_after_300_ms_and_the_first_answer_wins() {
        let (result, begun, took) = run(&[(60_000, true), (50, true), (1, true)]).await;
        assert_eq!(result, Some(Ok(Won { value: 50, overtaken: vec![(60_000, true)] })));
        assert_eq!(begun, [Duration::ZERO, HEDGE_AFTER]);
        assert_eq!(took, Duration::from_millis(350));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_still_wins_when_it_answers_before_its_company() {
        let (result, ..) = run(&[(400, true), (500, true)]).await;
        assert_eq!(result, Some(Ok(Won { value: 400, overtaken: vec![] })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_address_at_once() {
        let (result, _, took) = run(&[(10, false), (10, false), (10, true)]).await;
        assert_eq!(result, Some(Ok(Won { value: 10, overtaken: vec![] })));
        assert_eq!(took, Duration::from_millis(30));
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_fail_the_last_error_is_told() {
        let (result, ..) = run(&[(2_000, false), (10, false)]).await;
        assert_eq!(result, Some(Err(2_000)));
        assert_eq!(run(&[]).await.0, None);
    }
}
