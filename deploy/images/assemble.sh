#!/usr/bin/env bash
# Makes the images without an engine and without a registry: of the Dockerfile's last stages, and of binaries that
# static-binaries.sh made. Takes buildah (a Debian package) and root.
#
#   assemble.sh BINARIES OUT [amd64 | arm64]    writes OUT/relay.tar and OUT/control-plane.tar (docker load takes them)
#   assemble.sh --check                         the same of stand-ins for the binaries: what the images say of themselves
#
# Either way it looks at what it made: user, ports, health check, files; of real binaries also that they are static, run on
# nothing, and that the relay's image stays under 30 MB.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
store=(--root "$work/root" --runroot "$work/run" --storage-driver vfs)
trap 'rm -rf "$work"' EXIT

fail() { echo "assemble: $*" >&2 && exit 1; }

arch=${3:-$(dpkg --print-architecture)}
if [ "${1:-}" = --check ]; then
    binaries='' out=$work/out
    mkdir -p "$work/build/out/state"
    for file in ekiden-relay ekiden-control-plane ca-certificates.crt; do echo "$file" >"$work/build/out/$file"; done
    chmod +x "$work"/build/out/ekiden-*
else
    binaries=${1:?which binaries} out=${2:?where to}
    mkdir -p "$work/build"
    cp -r "$binaries" "$work/build/out"
    for binary in ekiden-relay ekiden-control-plane; do
        if readelf -lW "$work/build/out/$binary" | grep -q INTERP; then fail "$binary is not static"; fi
    done
fi
mkdir -p "$out"

# of IMAGE FIELD – what the image says of itself.
of() {
    buildah "${store[@]}" inspect --type image "$1" | python3 -c 'import functools, json, sys
print(json.dumps(functools.reduce(lambda part, key: part[key], sys.argv[1].split("."), json.load(sys.stdin)["Docker"]), separators=(",", ":"), sort_keys=True))' "$2"
}
# want IMAGE FIELD VALUE
want() {
    local found
    found=$(of "$1" "$2")
    [ "$found" = "$3" ] || fail "$1: $2 is $found, not $3"
}

for name in relay control-plane; do
    image=localhost/ekiden/$name
    # What the stage `build` would have made stands in for it. The format is Docker's, which knows health checks.
    buildah "${store[@]}" build --quiet --isolation chroot --format docker --pull-never --arch "$arch" --timestamp 0 \
        --build-context "build=$work/build" --target "$name" --tag "$image" --file deploy/images/Dockerfile . >/dev/null 2>"$work/said" || fail "$(cat "$work/said")"
    state=/var/lib/ekiden ports='{"8443/tcp":{},"9443/tcp":{}}'
    [ "$name" = relay ] && state=/var/lib/ekiden-relay ports='{"4317/tcp":{},"4318/tcp":{},"6667/tcp":{},"8080/tcp":{}}'
    want "$image" config.User '"65532:65532"'
    want "$image" config.Entrypoint "[\"/ekiden-$name\"]"
    want "$image" config.Healthcheck.Test "[\"CMD\",\"/ekiden-$name\",\"healthcheck\"]"
    want "$image" config.StopSignal '"SIGTERM"'
    want "$image" config.ExposedPorts "$ports"
    # Without it ECS makes the task's volume for root, and the program could not write its state.
    want "$image" config.Volumes "{\"$state\":{}}"
    want "$image" architecture "\"$arch\""

    container=$(buildah "${store[@]}" from --pull-never "$image")
    held=$(cd "$(buildah "${store[@]}" mount "$container")" && find . -type f | sort && stat -c '%u %F' ".$state")
    wanted="./ekiden-$name"$'\n'"./etc/ssl/certs/ca-certificates.crt"$'\n'"65532 directory"
    [ "$held" = "$wanted" ] || fail "$image holds: $held"
    if [ -n "$binaries" ] && [ "$arch" = "$(dpkg --print-architecture)" ]; then
        said=$(timeout 20 buildah "${store[@]}" run --isolation chroot "$container" -- "/ekiden-$name" --version) || fail "$image does not run"
    fi

    rm -f "$out/$name.tar"
    buildah "${store[@]}" push --quiet "$image" "docker-archive:$out/$name.tar:ekiden/$name" >/dev/null 2>"$work/said" || fail "$(cat "$work/said")"
    bytes=$(stat -c %s "$out/$name.tar")
    if [ "$name" = relay ] && [ "$bytes" -ge 30000000 ]; then fail "the relay's image has $bytes bytes; at most 30,000,000 are wanted"; fi
    if [ -n "$binaries" ]; then
        echo "assemble: $name for $arch: $((bytes / 1000)) kB, $(gzip -c "$out/$name.tar" | wc -c | awk '{ print int($1 / 1000) }') kB compressed${said:+, runs as $said}"
    fi
done
[ -n "$binaries" ] || echo 'assemble: both images say what they should'
