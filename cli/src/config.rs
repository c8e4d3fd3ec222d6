//! The config file: contexts, and which is current. It holds tokens, so nobody else may read it.
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::failure::Failure;

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The context to use when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, Context>,
}

/// One control plane and how to talk to it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its operator port, a URL.
    pub endpoint: String,
    /// Tenant to work in when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// API token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// PEM of the CA that signed its certificate; absent: the system's CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
}

/// An API token that shows itself to nothing but the file.
#[derive(Clone, Debug)]
pub struct Token(pub SecretString);

impl Serialize for Token {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.into()))
    }
}

impl Config {
    /// Reads the file; one that does not exist says nothing.
    ///
    /// # Errors
    /// [`Failure::Config`] when others may read it, or it is malformed.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unusable(path, &error)),
        };
        let mode = file.metadata().map_err(|error| unusable(path, &error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::config(
                format!(
                    "{} holds tokens, but its mode {:03o} lets others in",
                    path.display(),
                    mode & 0o777
                ),
                format!(
                    "`chmod 600 {}`, and replace its tokens if others can have read them",
                    path.display()
                ),
            ));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| unusable(path, &error))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_yaml_ng::from_str(&text).map_err(|error| {
            Failure::config(
                format!("{} is malformed: {error}", path.display()),
                "correct it, or move it away and start anew with `ekidenctl context set`",
            )
        })
    }

    /// Replaces the file in one step, readable by its owner alone.
    ///
    /// # Errors
    /// [`Failure::Config`] when it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_yaml_ng::to_string(self)
            .map_err(|error| unusable(path, &io::Error::other(error)))?;
        write_private(path, text.as_bytes()).map_err(|error| unusable(path, &error))
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.new", uuid::Uuid::new_v4()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        // The error that matters is the one above.
        std::fs::remove_file(&new).ok();
    }
    written
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::config(
        format!("{} cannot be used: {error}", path.display()),
        "check the file, or name another with EKIDEN_CONFIG",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config() -> Config {
        let context = Context {
            endpoint: "https://127.0.0.1:9443".to_owned(),
            tenant: Some("acme".to_owned()),
            token: Some(Token("eka_1_secret".to_owned().into())),
            ca_certificate: Some("-----BEGIN CERTIFICATE-----\n".to_owned()),
        };
        Config {
            current: Some("local".to_owned()),
            contexts: [("local".to_owned(), context)].into(),
        }
    }

    #[test]
    fn what_is_saved_is_read_back_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("config.yaml");
        config().save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let parent = path.parent().unwrap();
        assert_eq!(fs::metadata(parent).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
        let read = Config::load(&path).unwrap();
        let context = &read.contexts["local"];
        assert_eq!(context.token.as_ref().unwrap().0.expose_secret(), "eka_1_secret");
        assert_eq!(context.tenant.as_deref(), Some("acme"));
        assert!(!format!("{read:?}").contains("secret"), "{read:?}");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        config().save(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let failure = Config::load(&path).unwrap_err();
            assert!(
                matches!(&failure, Failure::Config { next, .. } if next.contains("chmod 600")),
                "{failure}"
            );
        }
    }

    #[test]
    fn a_missing_or_empty_file_says_nothing_and_a_malformed_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        assert!(Config::load(&path).unwrap().contexts.is_empty());
        write_private(&path, b"").unwrap();
        assert!(Config::load(&path).unwrap().contexts.is_empty());
        for malformed in ["contexts: [", "context: {}", "contexts: {a: {}}"] {
            write_private(&path, malformed.as_bytes()).unwrap();
            assert!(matches!(Config::load(&path), Err(Failure::Config { .. })), "{malformed}");
        }
    }
}
