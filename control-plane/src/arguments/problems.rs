//! What is wrong with values, each with its flag and variable, all told at once.
use std::{
    fmt,
    num::NonZeroU32,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustls_pki_types::ServerName;
use sqlx::postgres::PgConnectOptions;

use super::Database;
use crate::database;

/// What an address must be.
pub(super) const ADDRESS: &str =
    "it must be an IP address and a port, such as 0.0.0.0:8443 or [::]:8443";

pub(super) struct Problems(pub(super) Vec<String>);

impl Problems {
    pub(super) fn add(&mut self, flag: &str, problem: impl fmt::Display) {
        let variable = flag.to_uppercase().replace('-', "_");
        self.0.push(format!("--{flag} (EKIDEN_{variable}): {problem}"));
    }

    pub(super) fn parsed<T: FromStr>(&mut self, flag: &str, value: &str, rule: &str) -> Option<T> {
        let parsed = value.trim().parse().ok();
        if parsed.is_none() {
            self.add(flag, format_args!("{value:?} will not do: {rule}"));
        }
        parsed
    }

    pub(super) fn seconds(
        &mut self,
        flag: &str,
        value: &str,
        allowed: RangeInclusive<u64>,
    ) -> Option<Duration> {
        let seconds = value.trim().parse().ok().filter(|seconds| allowed.contains(seconds));
        if seconds.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            self.add(
                flag,
                format_args!(
                    "{value:?} will not do: it must be a number of seconds from {least} to {most}"
                ),
            );
        }
        seconds.map(Duration::from_secs)
    }

    pub(super) fn per_second(&mut self, flag: &str, value: &str) -> Option<NonZeroU32> {
        let number = value.trim().parse().ok().filter(|n: &NonZeroU32| n.get() <= 100_000);
        if number.is_none() {
            self.add(
                flag,
                format_args!("{value:?} will not do: it must be a number from 1 to 100000"),
            );
        }
        number
    }

    pub(super) fn path(&mut self, flag: &str, value: &str) -> Option<PathBuf> {
        match std::path::absolute(Path::new(value)) {
            Ok(path) => Some(path),
            Err(error) => {
                self.add(flag, format_args!("{value:?} is no path: {error}"));
                None
            }
        }
    }

    pub(super) fn names(&mut self, value: &str) -> Option<Vec<String>> {
        let names: Vec<_> =
            value.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect();
        for name in names.iter().filter(|name| ServerName::try_from(name.as_str()).is_err()) {
            self.add(
                "server-names",
                format_args!("{name:?} is neither a DNS name nor an IP address"),
            );
        }
        if names.is_empty() {
            self.add(
                "server-names",
                "at least one name is needed: nobody could verify the certificate",
            );
        }
        (!names.is_empty()).then_some(names)
    }

    pub(super) fn trust_domain(&mut self, value: &str) -> Option<String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._".contains(c);
        // SPIFFE-ID, section 2.1.
        let good = !value.is_empty() && value.len() <= 255 && value.chars().all(allowed);
        if !good {
            self.add(
                "trust-domain",
                format_args!("{value:?} will not do: 1 to 255 of a-z, 0-9, '-', '.', '_'"),
            );
        }
        good.then(|| value.to_owned())
    }

    pub(super) fn database(
        &mut self,
        url: &Option<String>,
        direct_url: &Option<String>,
        programs: impl FnOnce() -> Vec<PathBuf>,
    ) -> Option<Database> {
        let (url, direct_url) = (present(url.as_deref()), present(direct_url.as_deref()));
        let Some(url) = url else {
            if direct_url.is_some() {
                self.add("database-direct-url", "it goes with --database-url, which is missing");
            }
            return Some(Database::Embedded { programs: programs() });
        };
        let pool = self.postgres("database-url", url);
        let direct = match direct_url {
            Some(url) => self.postgres("database-direct-url", url),
            None => pool.clone(),
        };
        Some(Database::At { pool: pool?, direct: direct? })
    }

    /// Never quotes the URL: it holds a password.
    pub(super) fn postgres(&mut self, flag: &str, url: &str) -> Option<Box<PgConnectOptions>> {
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            self.add(flag, "it must begin with postgres://");
            return None;
        }
        let Ok(options) = PgConnectOptions::from_str(url) else {
            self.add(
                flag,
                "it is no Postgres URL: it must be postgres://user:password@host:port/database?sslmode=…, with special characters in the password percent-encoded",
            );
            return None;
        };
        if let Err(problem) = database::check_transport(&options) {
            self.add(flag, problem);
        }
        Some(Box::new(options))
    }
}

/// An empty value, as compose files and task definitions like to pass, is none.
pub(super) fn present<T: AsRef<str>>(value: Option<T>) -> Option<T> {
    value.filter(|value| !value.as_ref().trim().is_empty())
}
