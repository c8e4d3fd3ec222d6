//! Which keys seal secrets.
use std::path::PathBuf;

use super::{Problems, present};
use crate::vault::{MasterKeySource, MasterKeySources};

impl Problems {
    /// `usual` is the file for the key to seal with where none is given.
    pub(super) fn master_keys(
        &mut self,
        seal: &Option<String>,
        also: &Option<String>,
        usual: impl FnOnce() -> Option<PathBuf>,
    ) -> Option<MasterKeySources> {
        let seal = match present(seal.as_deref()) {
            Some(text) => self.master_key("master-key", text),
            None => usual().map(MasterKeySource::File),
        };
        let also: Option<Vec<_>> = present(also.as_deref())
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter(|text| !text.trim().is_empty())
            .map(|text| self.master_key("master-key-also", text))
            .collect();
        let sources = MasterKeySources { seal: seal?, also: also? };
        if sources.also.contains(&sources.seal) {
            self.add("master-key-also", "it names the key that --master-key names");
        }
        Some(sources)
    }

    fn master_key(&mut self, flag: &str, text: &str) -> Option<MasterKeySource> {
        MasterKeySource::parse(text).map_err(|problem| self.add(flag, problem)).ok()
    }
}
