#!/bin/sh
# Builds the static binaries that the images hold, and what else goes into them: static-binaries.sh FOLDER [amd64 | arm64].
# Without an architecture for this machine's own; for the other one it takes Rust's std of it (rustup target add) and, of
# Debian, gcc-aarch64-linux-gnu with libc6-dev-arm64-cross, or gcc-x86-64-linux-gnu with libc6-dev-amd64-cross.
set -eu
out=${1:?which folder}
host=$(rustc -vV | sed -n 's/^host: //p')
case ${2:-} in
'') target=$host ;;
amd64) target=x86_64-unknown-linux-gnu ;;
arm64) target=aarch64-unknown-linux-gnu ;;
*) echo "static-binaries: no such architecture: $2" >&2 && exit 64 ;;
esac
case $target in
"$host") ;;
x86_64-*) export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc ;;
aarch64-*) export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/../.."
mkdir -p "$out/state"
built=${CARGO_TARGET_DIR:-target}/static
# --target keeps the flag away from build scripts and proc macros, which cannot be static. The workspace as a whole, for
# its features' sake; of its binaries two.
RUSTFLAGS='-C target-feature=+crt-static -C strip=symbols' cargo build --release --workspace --bin ekiden-relay --bin ekiden-control-plane \
    --target "$target" --target-dir "$built"
for binary in ekiden-relay ekiden-control-plane; do
    cp "$built/$target/release/$binary" "$out/"
done
cp /etc/ssl/certs/ca-certificates.crt "$out/"
