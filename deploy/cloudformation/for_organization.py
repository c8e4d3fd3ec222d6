"""Writes relay-fleet-organization.yaml: relay-fleet.yaml for stack sets that deploy to new accounts by themselves.

Such a stack set has one list of parameters for all accounts, while each has a VPC and subnets of its own. So these three
are names in each account's Parameter Store, which CloudFormation looks up where the stack is made. And the task role has
the same name everywhere in a region, so that one enrollment rule admits it in every account of the organization.

Usage: for_organization.py [--check]
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
NAMES = {"VPC": "/ekiden/network/vpc", "SubnetA": "/ekiden/network/subnet-a", "SubnetB": "/ekiden/network/subnet-b"}

ROLE = '      RoleName: !Sub "${TaskRoleName}-${AWS::Region}"\n'
PARAMETER = "  TaskRoleName: { Type: String, Description: The task role's name; the region stands behind it., Default: ekiden-relay, AllowedPattern: \"^[A-Za-z0-9+=,.@_-]{1,40}$\", ConstraintDescription: must be the begin of a role's name }\n"


def organization(template):
    for name, path in NAMES.items():
        line = re.compile(rf'^  {name}: {{ Type: "(AWS::EC2::\w+::Id)", Description: (.*?)\. }}$', re.M)
        template, count = line.subn(
            rf'  {name}: {{ Type: "AWS::SSM::Parameter::Value<\1>", Description: "\2, as the parameter of this name in Parameter Store says.", Default: {path} }}', template
        )
        assert count == 1, f"{name} is not where it was"
    # Rules see the name in Parameter Store, not what stands there.
    template, count = re.subn(r"^  Subnets:\n(?:    .*\n)+", "", template, flags=re.M)
    assert count == 1, "the rule Subnets is not where it was"
    template, count = re.subn(r"^(  TaskRole:\n    Type: AWS::IAM::Role\n    Properties:\n)", r"\1" + ROLE, template, flags=re.M)
    assert count == 1, "TaskRole is not where it was"
    template, count = re.subn(r"^(  TrustDomain: )", PARAMETER + r"\1", template, flags=re.M)
    assert count == 1, "TrustDomain is not where it was"
    return "# Made by for_organization.py from relay-fleet.yaml; change that.\n" + template


def main():
    wanted = organization((HERE / "relay-fleet.yaml").read_text())
    file = HERE / "relay-fleet-organization.yaml"
    if sys.argv[1:] == ["--check"]:
        if not file.exists() or file.read_text() != wanted:
            print("deploy/cloudformation/relay-fleet-organization.yaml is behind relay-fleet.yaml: run deploy/cloudformation/for_organization.py", file=sys.stderr)
            return 1
        return 0
    file.write_text(wanted)
    return 0


sys.exit(main())
