//! Where a rotation can be.
use ekiden_proto::admin::v1::KeyRotationState;

use crate::error::Error;

/// Where a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationState {
    /// Sealed; no relay has it.
    Added,
    /// Relays try the new version.
    Distributing,
    /// Relays prefer the new version.
    Preferred,
    /// All do; the old version's grace runs.
    OldDraining,
    /// Relays let go of the old version.
    OldDisabled,
    /// The old version is destroyed.
    OldDestroyed,
    /// The new version is destroyed.
    Cancelled,
}

const NAMES: [(RotationState, &str); 7] = [
    (RotationState::Added, "added"),
    (RotationState::Distributing, "distributing"),
    (RotationState::Preferred, "preferred"),
    (RotationState::OldDraining, "old-draining"),
    (RotationState::OldDisabled, "old-disabled"),
    (RotationState::OldDestroyed, "old-destroyed"),
    (RotationState::Cancelled, "cancelled"),
];

impl RotationState {
    /// As the database has it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// Reads what [`RotationState::name`] wrote.
    ///
    /// # Errors
    /// A state that this version does not know.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let found = NAMES.iter().find(|(_, known)| *known == name).map(|(state, _)| *state);
        let unknown = || anyhow::anyhow!("a rotation is in the unknown state {name:?}");
        found.ok_or_else(|| Error::Internal(unknown()))
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        matches!(self, Self::OldDestroyed | Self::Cancelled)
    }

    /// Whether the old version is still in relays' hands, so that it can go back.
    pub fn can_go_back(self) -> bool {
        matches!(self, Self::Added | Self::Distributing | Self::Preferred | Self::OldDraining)
    }
}

impl From<RotationState> for KeyRotationState {
    fn from(state: RotationState) -> Self {
        match state {
            RotationState::Added => Self::Added,
            RotationState::Distributing => Self::Distributing,
            RotationState::Preferred => Self::Preferred,
            RotationState::OldDraining => Self::OldDraining,
            RotationState::OldDisabled => Self::OldDisabled,
            RotationState::OldDestroyed => Self::OldDestroyed,
            RotationState::Cancelled => Self::Cancelled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_as_it_was_written() {
        for (state, name) in NAMES {
            assert_eq!(state.name(), name);
            assert_eq!(RotationState::parse(name).unwrap(), state);
        }
        assert!(RotationState::parse("paused").is_err());
    }
}
