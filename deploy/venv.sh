#!/bin/sh
# Makes .venv-deploy at the root of the checkout with what lint.sh needs; does nothing when it is there.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
venv="$root/.venv-deploy"
if ! cmp -s "$root/deploy/requirements.txt" "$venv/requirements.txt"; then
    echo "making $venv for the checks of deploy/" >&2
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$root/deploy/requirements.txt"
    cp "$root/deploy/requirements.txt" "$venv/requirements.txt"
fi

# promtool alone, out of Debian's package: installed, that would start a Prometheus on this machine.
if ! command -v promtool >/dev/null && [ ! -x "$venv/bin/promtool" ] && command -v dpkg-deb >/dev/null; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if (cd "$work" && timeout 120 apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) >"$work/said" 2>&1; then
        cp "$work/usr/bin/promtool" "$venv/bin/"
    else
        echo "promtool could not be had: $(tail -n 1 "$work/said")" >&2
    fi
fi
