//! `ekidenctl master-key`.
use std::time::Duration;

use clap::Subcommand;
use ekiden_proto::admin::v1::{
    ListMasterKeysRequest, ListMasterKeysResponse, MasterKey,
    master_key_service_client::MasterKeyServiceClient,
};

use crate::{
    failure::Failure,
    output::table::Table,
    session::{Session, Wire},
};

/// How often a move that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What to do with the keys that seal all secrets.
#[derive(Debug, Subcommand)]
pub enum MasterKeyVerb {
    /// Lists master keys and how many secrets each holds.
    ///
    /// To change keys, start each control plane process with the new one as --master-key and the old one as --master-key-also. Nothing is sealed under the new key before every process holds it; once all prefer it, every secret moves there, while relays work. A key without secrets is free: processes can be started without it. Copies of the database made before still need it.
    #[command(
        after_help = "Examples:\n  ekidenctl master-key list\n  ekidenctl master-key list --wait"
    )]
    List {
        /// Tell how it goes until every secret is under one key
        #[arg(long)]
        wait: bool,
    },
}

fn client(session: &Session) -> MasterKeyServiceClient<Wire> {
    MasterKeyServiceClient::new(session.wire())
}

pub(super) async fn run(verb: MasterKeyVerb, session: &Session) -> Result<(), Failure> {
    let MasterKeyVerb::List { wait } = verb;
    let mut told = String::new();
    loop {
        let request = ListMasterKeysRequest::default();
        let answer =
            session.call(request, async |r| client(session).list_master_keys(r).await).await?;
        if !wait || has_settled(&answer) {
            return session.printer.list(&answer, &answer.master_keys, table, "There is no key.");
        }
        let line = progress(&answer);
        if line != told {
            session.printer.note(&line);
            told = line;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether every process prefers the same key, and every secret is under it.
fn has_settled(answer: &ListMasterKeysResponse) -> bool {
    let is_chosen = |key: &&MasterKey| key.preferring_replicas == answer.replicas;
    let chosen = answer.master_keys.iter().find(is_chosen);
    chosen.is_some_and(|chosen| {
        answer.master_keys.iter().all(|key| key.id == chosen.id || key.secrets == 0)
    })
}

fn progress(answer: &ListMasterKeysResponse) -> String {
    let of_one = |key: &MasterKey| {
        let MasterKey { id, secrets, preferring_replicas, .. } = key;
        format!(
            "{secrets} secrets under {id}, which {preferring_replicas} of {} processes prefer",
            answer.replicas
        )
    };
    answer.master_keys.iter().map(of_one).collect::<Vec<_>>().join("; ")
}

fn table(keys: &[MasterKey]) -> String {
    let mut table = Table::new(&["KEY", "SECRETS", "HELD BY", "PREFERRED BY"]);
    for key in keys {
        table.row([
            key.id.clone(),
            key.secrets.to_string(),
            processes(key.holding_replicas),
            processes(key.preferring_replicas),
        ]);
    }
    table.render()
}

fn processes(count: u32) -> String {
    match count {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, secrets: u64, holding_replicas: u32, preferring_replicas: u32) -> MasterKey {
        MasterKey { id: id.to_owned(), secrets, holding_replicas, preferring_replicas }
    }

    #[test]
    fn master_keys_are_shown_with_what_they_hold() {
        let arn = "kms/arn:aws:kms:eu-west-1:111122223333:key/0198c5d2";
        let moving = ListMasterKeysResponse {
            master_keys: vec![key(arn, 3, 2, 2), key("local/5e884898da280471", 12, 2, 0)],
            replicas: 2,
        };
        let settled = ListMasterKeysResponse {
            master_keys: vec![key(arn, 15, 2, 2), key("local/5e884898da280471", 0, 1, 0)],
            replicas: 2,
        };
        let torn = ListMasterKeysResponse {
            master_keys: vec![key(arn, 0, 2, 1), key("local/5e884898da280471", 15, 2, 1)],
            replicas: 2,
        };
        assert_eq!([&moving, &settled, &torn].map(has_settled), [false, true, false]);
        insta::assert_snapshot!(
            "master_keys",
            [table(&moving.master_keys), progress(&torn)].join("\n")
        );
    }
}
