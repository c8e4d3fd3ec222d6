//! Laid out; its modules follow.
