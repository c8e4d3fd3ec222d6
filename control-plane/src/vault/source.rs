//! Which master keys an operator means: `file:<path>` or `kms:<key>`.
use std::{path::PathBuf, sync::Arc};

use anyhow::Context;

use super::{Kms, LocalFile, MasterKey, Vault};

/// Where a master key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterKeySource {
    /// In a file.
    File(PathBuf),
    /// In AWS KMS: a key's id, ARN or alias.
    Kms(String),
}

/// The master keys of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeySources {
    /// The one to seal with; a file that is not there is made.
    pub seal: MasterKeySource,
    /// Others that open what was sealed before.
    pub also: Vec<MasterKeySource>,
}

impl MasterKeySource {
    /// Reads `file:<path>` or `kms:<key>`; gives what would be right instead.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let source = match text.trim().split_once(':') {
            Some(("file", path)) if !path.is_empty() => {
                let absolute = std::path::absolute(path);
                Self::File(absolute.map_err(|error| format!("{path:?} is no path: {error}"))?)
            }
            Some(("kms", key)) if !key.is_empty() => Self::Kms(key.to_owned()),
            _ => {
                return Err(format!(
                    "{text:?} will not do: it must be file:<path> or kms:<id, ARN or alias/name of a key>"
                ));
            }
        };
        Ok(source)
    }
}

impl MasterKeySources {
    /// Opens all of them.
    ///
    /// # Errors
    /// A key that cannot be used, by its name.
    pub async fn open(&self) -> anyhow::Result<Vault> {
        let seal: Arc<dyn MasterKey> = match &self.seal {
            MasterKeySource::File(path) => Arc::new(LocalFile::load_or_create(path)?),
            MasterKeySource::Kms(key) => kms(key).await?,
        };
        let mut others: Vec<Arc<dyn MasterKey>> = Vec::new();
        for source in &self.also {
            others.push(match source {
                MasterKeySource::File(path) => Arc::new(LocalFile::load(path)?),
                MasterKeySource::Kms(key) => kms(key).await?,
            });
        }
        Ok(Vault::with_others(seal, others))
    }
}

async fn kms(key: &str) -> anyhow::Result<Arc<dyn MasterKey>> {
    let kms = Box::pin(Kms::open(key)).await;
    Ok(Arc::new(kms.with_context(|| format!("the master key kms:{key} cannot be used"))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_file_or_a_key_of_kms() {
        let kms = MasterKeySource::parse("kms:alias/ekiden").unwrap();
        assert_eq!(kms, MasterKeySource::Kms("alias/ekiden".to_owned()));
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/1234";
        let of_arn = MasterKeySource::parse(&format!(" kms:{arn} ")).unwrap();
        assert_eq!(of_arn, MasterKeySource::Kms(arn.to_owned()));
        let file = MasterKeySource::parse("file:/etc/ekiden/master.key").unwrap();
        assert_eq!(file, MasterKeySource::File("/etc/ekiden/master.key".into()));
        for wrong in ["", "file:", "kms:", "/etc/master.key", "vault:x", "KMS:x"] {
            assert!(MasterKeySource::parse(wrong).unwrap_err().contains("file:<path>"), "{wrong}");
        }
    }
}
