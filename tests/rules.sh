#!/usr/bin/env bash
# The project's own rules that no compiler checks. Prints each breach as file:line and fails if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0

# breach "what is wrong" "lines found"
breach() {
    [ -z "$2" ] && return
    printf '%s:\n%s\n' "$1" "$2" | sed '2,$s/^/  /'
    failed=1
}

rust() { git ls-files --cached --others --exclude-standard '*.rs'; }
product() { rust | grep -Ev '^tests/|/tests/|_tests?\.rs$|/tests?\.rs$|/test_database\.rs$'; }
# find PATTERN FILES-ON-STDIN – grep whose finding nothing is no failure
find_in() { xargs -r grep -nE "$1" /dev/null || [ $? -eq 1 ] || [ $? -eq 123 ]; }

codes='internal|not_found|invalid_argument|unavailable|aborted|permission_denied|unauthenticated|failed_precondition|already_exists|resource_exhausted|unknown|cancelled|deadline_exceeded|unimplemented|out_of_range|data_loss'
breach 'a gRPC Status is built outside an error module' "$(product | grep -v 'error' | find_in "Status::($codes|new|with_details|with_error_details)\(")"
breach 'SQL outside control-plane/src/store/' "$(product | grep -v '^control-plane/src/store' | find_in 'sqlx::query')"
breach 'a pool beside store/scope.rs, whose transactions alone have a scope' "$(product | grep -Ev '^control-plane/src/(store/scope|database|sessions/heads)\.rs$' | find_in 'PgPool')"
breach 'sqlx in a crate that must not know it' "$(git ls-files 'relay/Cargo.toml' 'cli/Cargo.toml' 'telemetry/Cargo.toml' 'settings/Cargo.toml' | find_in '^sqlx')"
breach 'a room without a name of its own' "$(rust | grep -E '(^|/)(utils?|common|helpers?|misc|shared|manager|mod)(\.rs|/)' || true)"
breach 'a file longer than 500 lines' "$(git ls-files --cached --others --exclude-standard '*.rs' '*.sql' '*.proto' '*.sh' | xargs wc -l | awk '$2 != "total" && $1 > 500 { print $2 ": " $1 }')"
breach 'left undone' "$(git ls-files --cached --others --exclude-standard '*.rs' '*.sql' '*.proto' | find_in 'todo!\(|unimplemented!\(|TODO|FIXME|XXX')"
breach 'an ignored test, or a lint allowed away' "$(rust | find_in '#\[ignore|#!?\[allow\(')"
breach 'the time is read outside a clock file' "$(product | grep -v 'clock.rs' | find_in 'SystemTime::now|now_utc\(\)')"

missing=''
for name in $(grep -ohE '`[a-z0-9]+(_[a-z0-9]+){3,}`' docs/security.md docs/faults.md | tr -d '`' | sort -u); do
    rust | xargs grep -qE "fn $name\b" || missing+="docs: $name"$'\n'
done
breach 'a claim whose test does not exist' "${missing%$'\n'}"

# The tables in the Terraform modules' READMEs.
if command -v python3 >/dev/null; then
    python3 deploy/terraform/docs.py --check || failed=1
else
    echo 'rules: not run, for want of python3: deploy/terraform/docs.py --check'
fi

# The contracts' style, where npm is at hand.
if command -v npx >/dev/null; then
    (cd proto && npx --yes --package @bufbuild/buf@1.75.0 buf lint) || failed=1
    (cd proto && npx --yes --package @bufbuild/buf@1.75.0 buf format --diff --exit-code) || failed=1
else
    echo 'rules: not run, for want of npx: buf lint'
fi
exit $failed
