#!/usr/bin/env bash
# Checks what is in deploy/ and needs neither Docker nor Terraform: lint.sh [part …]. Everything is bounded; any finding fails it.
set -uo pipefail
cd "$(dirname "$0")/.."
failed=0

# check NAME SECONDS COMMAND… – runs it, tells what it said when it failed, and goes on.
check() {
    local name=$1 seconds=$2 said
    shift 2
    if said=$(timeout --kill-after=5 "$seconds" "$@" 2>&1); then
        printf 'deploy-lint: %s: ok%s\n' "$name" "$(tail -n 1 <<<"$said" | sed -n 's/^[a-z]*: \(.*\)$/ (\1)/p')"
    else
        printf 'deploy-lint: %s: FAILED\n%s\n' "$name" "$said" >&2
        failed=1
    fi
}

venv() {
    deploy/venv.sh && tests/python/venv.sh || exit 1
}

bin=.venv-deploy/bin
# promtool lies there where the machine has none.
export PATH="$PWD/$bin:$PATH"
cloudformation() {
    check cfn-lint 60 "$bin/cfn-lint" deploy/cloudformation/*.yaml
    check organization 10 "$bin/python" deploy/cloudformation/for_organization.py --check
    check cloudformation 90 .venv/bin/python deploy/cloudformation/check.py
}
checkov() {
    check checkov 90 "$bin/checkov" --config-file deploy/checkov.yaml --directory deploy
}
grafana() {
    check grafana 30 "$bin/python" deploy/grafana/make.py --check
}
alarms() {
    check alarms 60 "$bin/python" deploy/alarms/check.py
}
compose() {
    check compose-schema 30 "$bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
    check compose 30 "$bin/python" deploy/compose/check.py
}
images() {
    if command -v buildah >/dev/null && [ "$(id -u)" -eq 0 ]; then
        check images 60 deploy/images/assemble.sh --check
    else
        echo 'deploy-lint: images: not run, for want of buildah and root'
    fi
}
cost() {
    check cost 10 "$bin/python" docs/cost.py --check
}

venv
[ $# -gt 0 ] || set -- cloudformation checkov grafana alarms compose images cost
for part in "$@"; do
    case $part in
    cloudformation | checkov | grafana | alarms | compose | images | cost) "$part" ;;
    *) echo "deploy-lint: no such part: $part" >&2 && exit 64 ;;
    esac
done
exit $failed
