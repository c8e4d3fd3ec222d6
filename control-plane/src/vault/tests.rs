use proptest::prelude::*;

use super::*;

fn vault() -> (tempfile::TempDir, Vault) {
    let folder = tempfile::tempdir().unwrap();
    let key = LocalFile::load_or_create(&folder.path().join("master.key")).unwrap();
    (folder, Vault::new(Arc::new(key)))
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_in_its_place_only(
        plaintext in proptest::collection::vec(any::<u8>(), 0..600),
        place in "[a-z/0-9]{1,40}",
        other in "[a-z/0-9]{1,40}",
    ) {
        let (_folder, vault) = vault();
        let sealed = block(vault.seal(&place, &plaintext)).unwrap();
        prop_assert_eq!(&**block(vault.open(&place, &sealed)).unwrap(), &plaintext[..]);
        if place != other {
            let refused = matches!(block(vault.open(&other, &sealed)), Err(VaultError::Altered { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn any_changed_byte_is_noticed(
        plaintext in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<proptest::sample::Index>(),
        flip in 1..=255_u8,
        in_key in any::<bool>(),
    ) {
        let (_folder, vault) = vault();
        let mut sealed = block(vault.seal("here", &plaintext)).unwrap();
        let bytes = if in_key { &mut sealed.wrapped_data_key } else { &mut sealed.sealed };
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(block(vault.open("here", &sealed)).is_err());
    }

    #[test]
    fn a_value_cut_short_is_refused_without_panic(keep in 0..28_usize) {
        let (_folder, vault) = vault();
        let mut sealed = block(vault.seal("here", b"secret")).unwrap();
        sealed.sealed.truncate(keep);
        prop_assert!(block(vault.open("here", &sealed)).is_err());
    }
}

#[test]
fn the_same_value_never_seals_to_the_same_bytes() {
    let (_folder, vault) = vault();
    let (a, b) =
        (block(vault.seal("here", b"x")).unwrap(), block(vault.seal("here", b"x")).unwrap());
    assert_ne!(a.sealed, b.sealed);
    assert_ne!(a.wrapped_data_key, b.wrapped_data_key);
}

#[test]
fn another_master_key_is_named_in_the_error() {
    let ((_f1, one), (_f2, two)) = (vault(), vault());
    let sealed = block(one.seal("here", b"x")).unwrap();
    let error = block(two.open("here", &sealed)).unwrap_err();
    assert!(error.to_string().contains(&sealed.master_key_id), "{error}");
}
