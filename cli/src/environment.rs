//! The environment variables that are no options: because they are secret, or say where files are.
use std::{env, path::PathBuf};

use secrecy::SecretString;

/// What the environment says.
#[derive(Debug, Default)]
pub struct Environment {
    /// `EKIDEN_TOKEN`: wins over the context's token.
    pub token: Option<SecretString>,
    /// `EKIDEN_CONFIG`, else `$XDG_CONFIG_HOME/ekiden/config.yaml`, else `~/.config/ekiden/config.yaml`; none when no home is known.
    pub config: Option<PathBuf>,
    /// `TRACEPARENT`: the trace that calls are to be part of.
    pub traceparent: Option<String>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self::from(|name| env::var(name).ok())
    }

    fn from(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let text = |name| lookup(name).filter(|value| !value.trim().is_empty());
        let config = text("EKIDEN_CONFIG").map(PathBuf::from).or_else(|| {
            let folder = text("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| text("HOME").map(|home| PathBuf::from(home).join(".config")))?;
            Some(folder.join("ekiden").join("config.yaml"))
        });
        Self {
            token: text("EKIDEN_TOKEN").map(|token| token.trim().to_owned().into()),
            config,
            traceparent: text("TRACEPARENT"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Option<String> {
        Environment::from(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        })
        .config
        .map(|path| path.display().to_string())
    }

    #[test]
    fn the_config_file_is_where_the_most_specific_variable_says() {
        let home = ("HOME", "/home/kim");
        let xdg = ("XDG_CONFIG_HOME", "/x");
        assert_eq!(config(&[]), None);
        assert_eq!(config(&[home]).unwrap(), "/home/kim/.config/ekiden/config.yaml");
        assert_eq!(config(&[home, xdg]).unwrap(), "/x/ekiden/config.yaml");
        assert_eq!(config(&[home, xdg, ("EKIDEN_CONFIG", "c.yaml")]).unwrap(), "c.yaml");
        assert_eq!(
            config(&[home, ("EKIDEN_CONFIG", "")]).unwrap(),
            "/home/kim/.config/ekiden/config.yaml"
        );
    }
}
