#!/bin/sh
# Builds the static binaries that the images hold, and what else goes into them, into the folder given.
set -eu
out=${1:?which folder}
cd "$(dirname "$0")/../.."
mkdir -p "$out/state"
target=$(rustc -vV | sed -n 's/^host: //p')
# --target keeps the flag away from build scripts and proc macros, which cannot be static.
RUSTFLAGS='-C target-feature=+crt-static -C strip=symbols' cargo build --release --workspace --target "$target" --target-dir "${CARGO_TARGET_DIR:-target}/static"
for binary in ekiden-relay ekiden-control-plane; do
    cp "${CARGO_TARGET_DIR:-target}/static/$target/release/$binary" "$out/"
done
cp /etc/ssl/certs/ca-certificates.crt "$out/"
