#!/bin/sh
# Makes .venv at the root of the checkout with what the Python parts of the tests need; does nothing when it is there.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)
wanted="$root/tests/python/requirements.txt"
have="$root/.venv/requirements.txt"
if [ -f "$have" ] && cmp -s "$wanted" "$have"; then
    exit 0
fi
echo "making $root/.venv for the Python parts of the tests" >&2
python3 -m venv "$root/.venv"
"$root/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$have"
