//! Where the parts of compiled settings come from, so that what is wrong with them is told by the operators' own fields.
use std::cmp::Ordering;

use ekiden_settings::Violation;

/// The places, in what operators gave, of what the compiler has sorted.
#[derive(Debug, Default)]
pub(super) struct Origin {
    /// Of each compiled listener, in the fleet.
    pub(super) listeners: Vec<usize>,
    /// Of each compiled collector: its name, and the place of each of its endpoints.
    pub(super) collectors: Vec<(String, Vec<usize>)>,
}

impl Origin {
    /// Names what is wrong by the field that an operator can change; what is in no such field keeps its path in the settings.
    pub(super) fn trace(&self, violation: Violation) -> Violation {
        let Violation { field, description } = violation;
        if let Some((at, rest)) = item(&field, "listeners")
            && let Some(place) = self.listeners.get(at)
        {
            return Violation::new(format!("fleet.listeners[{place}]{rest}"), description);
        }
        if let Some((at, rest)) = item(&field, "collectors")
            && let Some((name, endpoints)) = self.collectors.get(at)
        {
            let rest = rest.strip_prefix('.').unwrap_or(rest);
            let place = item(rest, "endpoints")
                .and_then(|(at, rest)| endpoints.get(at).map(|place| (place, rest)));
            let field = match place {
                Some((place, rest)) => format!("collector.endpoints[{place}]{rest}"),
                None => format!("collector.{rest}"),
            };
            return Violation::new(field, format!("{description}; in {name}"));
        }
        match field.split('.').next() {
            Some("") => Violation::new("fleet", description),
            Some("listeners" | "discovery" | "limits") => {
                Violation::new(format!("fleet.{field}"), description)
            }
            _ => Violation { field, description },
        }
    }
}

/// Sorts, and gives the place that each item had before.
pub(super) fn sorted<T: Clone>(
    items: &[T],
    order: impl Fn(&T, &T) -> Ordering,
) -> (Vec<T>, Vec<usize>) {
    let mut items: Vec<_> = items.iter().cloned().enumerate().collect();
    items.sort_by(|(_, a), (_, b)| order(a, b));
    let (places, items) = items.into_iter().unzip();
    (items, places)
}

/// Splits `list[3].rest` into 3 and `.rest`.
fn item<'a>(path: &'a str, list: &str) -> Option<(usize, &'a str)> {
    let (at, rest) = path.strip_prefix(list)?.strip_prefix('[')?.split_once(']')?;
    Some((at.parse().ok()?, rest))
}
