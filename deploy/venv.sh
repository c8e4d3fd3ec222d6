#!/bin/sh
# Makes .venv-deploy at the root of the checkout with what lint.sh needs; does nothing when it is there.
set -eu
root=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)
wanted="$root/deploy/requirements.txt"
have="$root/.venv-deploy/requirements.txt"
if [ -f "$have" ] && cmp -s "$wanted" "$have"; then
    exit 0
fi
echo "making $root/.venv-deploy for the checks of deploy/" >&2
python3 -m venv "$root/.venv-deploy"
"$root/.venv-deploy/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$wanted"
cp "$wanted" "$have"
