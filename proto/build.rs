//! Compiles the `.proto` files with protox (no protoc needed) into Rust code and a descriptor for reflection.
use std::{env, fs, path::PathBuf};

use prost::Message;

/// Messages that hold a secret; `src/redacted.rs` gives them a `Debug` without it.
const REDACTED: [&str; 9] = [
    ".ekiden.relay.v1.KeyMaterial",
    ".ekiden.relay.v1.AwsCallerIdentity",
    ".ekiden.relay.v1.AwsWebIdentity",
    ".ekiden.relay.v1.EnrollRequest",
    ".ekiden.relay.v1.EnrollRequest.proof",
    ".ekiden.admin.v1.AccessKey",
    ".ekiden.admin.v1.RotateAccessKeyRequest",
    ".ekiden.admin.v1.CreateApiTokenResponse",
    ".ekiden.admin.v1.CreateEnrollmentTokenResponse",
];

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let mut files = Vec::new();
    for package in ["admin", "health", "relay", "settings"] {
        let folder = root.join("ekiden").join(package).join("v1");
        println!("cargo:rerun-if-changed={}", folder.display());
        for entry in fs::read_dir(&folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("ekiden.bin"), descriptors.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    config.bytes([
        ".ekiden.relay.v1.SettingsSnapshot.settings",
        ".ekiden.relay.v1.SettingsSnapshot.hash",
    ]);
    // The same message always encodes to the same bytes: request ids are bound to them.
    config.btree_map([".ekiden"]);
    config.skip_debug(REDACTED);
    // A report is by far the largest message, and one is built each ten seconds.
    config.boxed(".ekiden.relay.v1.SessionRequest.message.health");
    config.enable_type_names();
    tonic_prost_build::configure()
        .codec_path("crate::codec::LeanCodec")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
