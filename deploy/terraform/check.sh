#!/usr/bin/env bash
# Checks everything under deploy/terraform without AWS: format, tables in the READMEs, validity, the modules' own tests, and
# the examples' life against moto: apply, plan again without changes, destroy. Reads nothing from standard input.
#
# Needs Terraform and a folder with the AWS provider, as `terraform providers mirror` makes it: TF_PLUGIN_DIR, or one of the
# usual places. Where one is missing it says so and does the rest; with EKIDEN_REQUIRE_TERRAFORM=1 it fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
limit=600 # seconds for any one command

python3 deploy/terraform/docs.py --check

missing() {
    echo "terraform: not run, for want of $1: format, validity, tests, apply against moto" >&2
    [ "${EKIDEN_REQUIRE_TERRAFORM:-}" = 1 ] && exit 1
    exit 0
}
command -v terraform >/dev/null || missing 'terraform (1.11 or later)'
plugins=''
for folder in "${TF_PLUGIN_DIR:-}" ~/.terraform.d/plugins /usr/local/share/terraform/plugins /usr/share/terraform/plugins /opt/*; do
    if [ -n "$folder" ] && [ -d "$folder/registry.terraform.io/hashicorp/aws" ]; then
        plugins=$folder
        break
    fi
done
[ -n "$plugins" ] || missing 'a folder with the AWS provider (TF_PLUGIN_DIR)'

tests/python/venv.sh

work=$(mktemp -d)
moto=''
declare -A pids
stop() {
    # By process group: a part is a shell with Terraform below it. Those that ended are no more.
    local pid
    for pid in "${pids[@]}" $moto; do
        kill -- "-$pid" 2>/dev/null || true
    done
    wait
    rm -rf "$work"
}
trap stop EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# Nothing of the machine's or the user's own: settings, credentials, proxies' opinion of loopback.
touch "$work/terraformrc"
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ROLE_ARN AWS_WEB_IDENTITY_TOKEN_FILE TF_CLI_ARGS TF_WORKSPACE TF_DATA_DIR TF_LOG
export TF_CLI_CONFIG_FILE=$work/terraformrc TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1 \
    AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true \
    AWS_ACCESS_KEY_ID=AKIAEKIDENWORLD00001 AWS_SECRET_ACCESS_KEY=the-world-s-own-secret-access-key-000001 \
    AWS_REGION=ap-northeast-1 AWS_DEFAULT_REGION=ap-northeast-1 \
    NO_PROXY=127.0.0.1 no_proxy=127.0.0.1

terraform fmt -check -recursive -diff deploy/terraform

mkdir "$work/tree"
git ls-files -z --cached --others --exclude-standard deploy/terraform | tar --null -T - -c | tar -x -C "$work/tree"
tree=$work/tree/deploy/terraform

# tf FOLDER ARGUMENT… – Terraform there, for a while at most.
tf() {
    local folder=$1
    shift
    timeout --foreground "$limit" nice terraform -chdir="$folder" "$@" -no-color
}

failed() {
    echo "terraform: $1" >&2
    exit 1
}

for folder in "$tree"/modules/* "$tree"/examples/* "$tree"/tests/*; do
    tf "$folder" init -plugin-dir="$plugins" >"$work/log" 2>&1 && tf "$folder" validate >"$work/log" 2>&1 || {
        cat "$work/log"
        failed "${folder#"$work/tree/"} is not valid"
    }
done
echo 'terraform: everything is formatted and valid'

# Jobs get process groups of their own.
set -m
PYTHONDONTWRITEBYTECODE=1 nice "$root/.venv/bin/python" tests/python/moto_terraform.py "$work" >"$work/moto.log" 2>&1 &
moto=$!
for _ in $(seq 120); do
    [ -e "$work/moto.json" ] && break
    kill -0 "$moto" 2>/dev/null || break
    sleep 0.5
done
[ -e "$work/moto.json" ] || {
    tail -n 20 "$work/moto.log"
    failed 'moto did not start'
}
# world NAME – what moto made for us.
world() { python3 -c 'import json, sys; value = json.load(open(sys.argv[1]))[sys.argv[2]]; print(value if isinstance(value, str) else json.dumps(value))' "$work/moto.json" "$1"; }
look() { "$root/.venv/bin/python" tests/python/moto_look.py "$(world endpoint)" "$@"; }

# Each of these is a process of its own, for most of the time is spent waiting for what in AWS takes its time.
module_tests() {
    local module
    for module in "$tree"/modules/*; do
        tf "$module" test | tee "$module/log" | grep -vE '\.\.\. (pass|in progress|tearing down)$|^$' || true
        grep -q '^Success!' "$module/log" || return 1
    done
}

# apply_and_destroy EXAMPLE – its life; calls EXAMPLE_applied in between.
apply_and_destroy() {
    local example=$tree/examples/$1 code=0
    tf "$example" apply -auto-approve
    tf "$example" plan -detailed-exitcode || code=$?
    [ "$code" -eq 0 ] || failed "$1: a plan after the apply would change something"
    "${1//-/_}_applied" "$example"
    tf "$example" destroy -auto-approve
    [ -z "$(tf "$example" state list 2>/dev/null)" ] || failed "$1: something is left after the destroy"
}

single_account() {
    export AWS_ENDPOINT_URL TF_VAR_access_key='the access key of single-account'
    AWS_ENDPOINT_URL=$(world endpoint)
    apply_and_destroy single-account
}

single_account_applied() {
    [ "$(look secret tokyo-access-key-)" = "$TF_VAR_access_key" ] || failed 'single-account: Secrets Manager does not hold the key'
    ! grep -q "$TF_VAR_access_key" "$1/terraform.tfstate" || failed 'single-account: the key is in the state'
    [ "$(look soa-ttl tokyo.internal)" = 15 ] || failed 'single-account: the namespace remembers for too long that a name is not there'
}

msp_multi_account() {
    local example=$tree/examples/msp-multi-account
    export AWS_ENDPOINT_URL
    AWS_ENDPOINT_URL=$(world endpoint)
    printf -- '-----BEGIN CERTIFICATE-----\nof the world, which checks none\n-----END CERTIFICATE-----\n' >"$example/rds.pem"
    cat >"$example/world.auto.tfvars" <<-TFVARS
		customer_role_arn    = "$(world customer_role_arn)"
		customer_external_id = "a customer"
		server_name          = "ekiden.example.com"
		operator_cidr_blocks = ["203.0.113.0/24"]
		database_ca_file     = "rds.pem"
		deletion_protection  = false
	TFVARS
    apply_and_destroy msp-multi-account
}

msp_multi_account_applied() {
    local url password
    url=$(look secret ekiden-database-url-)
    password=$(sed -nE 's|^postgres://ekiden:([a-zA-Z0-9]{40})@.*:[0-9]+/ekiden\?sslmode=verify-full$|\1|p' <<<"$url")
    [ -n "$password" ] || failed 'msp-multi-account: Secrets Manager does not hold the URL of the database'
    ! grep -q "$password" "$1/terraform.tfstate" || failed 'msp-multi-account: the password is in the state'
    [ "$(tf "$1" output -raw task_role_arn | cut -d: -f5)" = "$(world customer_role_arn | cut -d: -f5)" ] || failed "msp-multi-account: the fleet is not in the customer's account"
}

# The vendor's file with another source; and what it had made before, which keeps its names and ids.
vendor() {
    local example=$tree/examples/vendor-drop-in before=$tree/tests/vendor-before after=$tree/examples/after kept
    export AWS_ENDPOINT_URL
    AWS_ENDPOINT_URL=$(world endpoint)
    cat >"$work/vendor.tfvars" <<-TFVARS
		vpc_id           = "$(world vpc_id)"
		subnets          = $(world subnets)
		access_key       = "01234567-89ab-cdef-0123-456789abcdef"
		proxy_password   = "the password"
		collector_ca_pem = "-----BEGIN CERTIFICATE-----"
		proxy_ca_pem     = "-----BEGIN CERTIFICATE-----"
	TFVARS
    tf "$example" plan -var-file="$work/vendor.tfvars"

    tf "$before" apply -auto-approve -var vpc_id="$(world vpc_id)" -var subnets="$(world subnets)"
    mkdir "$after"
    cp "$example"/*.tf "$after/"
    sed -i 's|^  source = .*|&\n  enable_nlb = true|' "$after/main.tf"
    tf "$after" init -plugin-dir="$plugins"
    # As the vendor's module stands in the state of one who uses it.
    python3 -c '
import json, sys
state = json.load(sys.stdin)
state["outputs"] = {}
for resource in state["resources"]:
    resource["module"] = "module.sysdig_orchestrator_agent"
json.dump(state, sys.stdout)
' <"$before/terraform.tfstate" >"$after/terraform.tfstate"
    tf "$after" plan -var-file="$work/vendor.tfvars" -out=plan
    kept=$(tf "$after" show -json plan | python3 -c '
import json, sys
for change in json.load(sys.stdin)["resource_changes"]:
    if "previous_address" in change:
        print(change["type"], "kept" if "delete" not in change["change"]["actions"] else "lost")
' | sort | tr '\n' ' ')
    [ "$kept" = 'aws_lb kept aws_lb_listener kept aws_lb_target_group kept aws_security_group kept ' ] || failed "vendor: a change of source loses what others know by name: $kept"
    tf "$before" destroy -auto-approve -var vpc_id="$(world vpc_id)" -var subnets="$(world subnets)"
}

# What only AWS can say at plan.
bad_namespace() {
    local output
    export AWS_ENDPOINT_URL
    AWS_ENDPOINT_URL=$(world endpoint)
    output=$(tf "$tree/modules/relay-fleet" plan -var access_key=key -var vpc_id="$(world vpc_id)" -var subnets="$(world subnets)" \
        -var namespace_id=ns-missing -var namespace_name=missing.internal 2>&1) && failed 'a namespace that does not exist was planned with'
    grep -q 'missing.internal' <<<"$output" || {
        echo "$output"
        failed 'the namespace that does not exist is not named'
    }
}

for part in msp_multi_account single_account vendor module_tests; do
    (trap - EXIT; "$part") >"$work/$part.log" 2>&1 &
    pids[$part]=$!
done
result=0
for part in vendor single_account module_tests msp_multi_account; do
    if wait "${pids[$part]}"; then
        unset "pids[$part]"
        echo "terraform: ${part//_/ }: good"
        [ "$part" = module_tests ] && grep '^Success!' "$work/$part.log"
    else
        tail -n 60 "$work/$part.log"
        echo "terraform: ${part//_/ }: failed" >&2
        result=1
    fi
done
if (trap - EXIT; bad_namespace); then
    echo 'terraform: a namespace that does not exist is named at plan'
else
    result=1
fi
exit $result
