"""Makes stacks of relay-fleet.yaml in moto and looks at what is there; then changes and deletes them.

Usage: check.py [name of a check …]
"""

import json
import os
import pathlib
import sys
import traceback
import warnings

# Set before boto3 looks: nothing here may find credentials of the machine's.
os.environ.update(
    AWS_ACCESS_KEY_ID="AKIAEKIDENWORLD00001",
    AWS_SECRET_ACCESS_KEY="the-world-s-own-secret-access-key-000001",
    AWS_DEFAULT_REGION="ap-northeast-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    # Thousands of machine images that no check looks at.
    MOTO_EC2_LOAD_DEFAULT_AMIS="false",
)

import moto

import constraints
import moto_types
from moto_types import client

# A type that moto does not know would not be made, and not be missed.
warnings.simplefilter("error", UserWarning)

TEMPLATE = constraints.load(pathlib.Path(__file__).with_name("relay-fleet.yaml").read_text())
# moto reads `!Condition` wrongly; long forms mean the same.
BODY = json.dumps(TEMPLATE)
KEY = "11111111-2222-4333-8444-555555555555"
# As users of the vendor's template have them.
VENDOR = {
    "SysdigAccessKey": KEY,
    "SysdigCollectorHost": "ingest.us4.sysdig.com",
    "SysdigCollectorPort": "6443",
    "NetworkType": "Private Subnet",
    "SysdigAgentTags": "role:web",
    "SysdigOrchestratorAgentImage": "quay.io/sysdig/orchestrator-agent:4.3.2",
    "SysdigCheckCollectorCertificate": "true",
    "SysdigOrchestratorAgentPort": "6667",
}
CONTROLLED = {
    "ControlPlaneEndpoint": "https://relays.msp.example:8443",
    "ControlPlaneCaPem": "-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----",
    "Tenant": "acme",
    "Fleet": "tokyo",
}


class World:
    """A VPC with two subnets in two zones, and one in a zone twice."""

    def __init__(self, region="ap-northeast-1"):
        ec2, self.region = client("ec2", region), region
        self.vpc, self.other_vpc = (ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"] for block in ("10.30.0.0/16", "10.31.0.0/16"))
        self.group = ec2.create_security_group(GroupName="workloads", Description="Workloads", VpcId=self.vpc)["GroupId"]
        self.subnets = {}
        self.a, self.b, self.same_zone, self.elsewhere = (
            self.subnet(ec2, *where)
            for where in ((self.vpc, "10.30.0.0/24", "a"), (self.vpc, "10.30.1.0/24", "c"), (self.vpc, "10.30.2.0/24", "a"), (self.other_vpc, "10.31.0.0/24", "c"))
        )

    def subnet(self, ec2, vpc, block, zone):
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=f"{self.region}{zone}")["Subnet"]
        self.subnets[subnet["SubnetId"]] = subnet
        return subnet["SubnetId"]

    def parameters(self, given):
        return constraints.with_defaults(TEMPLATE, {"VPC": self.vpc, "SubnetA": self.a, "SubnetB": self.b, **given})

    def refusals(self, given):
        return constraints.breaches(TEMPLATE, self.parameters(given), self.subnets)

    def create(self, given):
        assert not self.refusals(given), self.refusals(given)
        client("cloudformation").create_stack(
            StackName="relays", TemplateBody=BODY, Parameters=listed(self.parameters(given)), Capabilities=["CAPABILITY_IAM"]
        )
        return Stack("relays")


def listed(parameters):
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]


class Stack:
    """What a stack made, found through the services' own APIs."""

    def __init__(self, name):
        stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE"), stack
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        ecs = client("ecs")
        (cluster,) = ecs.list_clusters()["clusterArns"]
        (service,) = ecs.list_services(cluster=cluster)["serviceArns"]
        self.service = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
        self.task = ecs.describe_task_definition(taskDefinition=self.service["taskDefinition"])["taskDefinition"]
        (self.container,) = self.task["containerDefinitions"]
        self.environment = {entry["name"]: entry["value"] for entry in self.container["environment"]}
        self.secrets = {entry["name"]: entry["valueFrom"] for entry in self.container["secrets"]}

    def policies(self, role_arn):
        iam, role = client("iam"), role_arn.split("/")[-1]
        names = iam.list_role_policies(RoleName=role)["PolicyNames"]
        return {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"] for name in names}

    def actions(self, role_arn):
        found = set()
        for statements in self.policies(role_arn).values():
            for statement in statements:
                found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
        return found

    def rules(self, direction):
        group = client("ec2").describe_security_groups(GroupIds=[self.outputs["RelaySecurityGroup"]])["SecurityGroups"][0]
        return {
            (permission["FromPort"], permission["ToPort"], source)
            for permission in group[direction]
            for source in [found["CidrIp"] for found in permission["IpRanges"]] + [found["GroupId"] for found in permission["UserIdGroupPairs"]]
        }


def same(found, wanted):
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def the_vendors_parameters_alone_bring_up_a_fleet(world):
    stack = world.create(VENDOR)
    exports = {export["Name"]: export["Value"] for export in client("cloudformation").list_exports()["Exports"]}
    same(exports, {"SysdigFargateOrchestrationHost": "relay.ekiden.internal", "SysdigFargateOrchestrationPort": "6667"})
    same((stack.task["cpu"], stack.task["memory"], stack.task["networkMode"]), ("256", "512", "awsvpc"))
    container, service = stack.container, stack.service
    same(container["image"], "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/ekiden/relay:0.1.0")
    same(container["healthCheck"]["command"], ["CMD", "/ekiden-relay", "healthcheck"])
    same((container["stopTimeout"], stack.environment["EKIDEN_STOP_TIMEOUT"]), (120, "120"))
    same((container["readonlyRootFilesystem"], container["user"], container["versionConsistency"]), (True, "65532:65532", "enabled"))
    same(container["linuxParameters"]["capabilities"]["drop"], ["ALL"])
    same(container["mountPoints"], [{"sourceVolume": "state", "containerPath": "/var/lib/ekiden-relay", "readOnly": False}])
    same(sorted(port["containerPort"] for port in container["portMappings"]), [4317, 4318, 6667, 8080])
    same({name: stack.environment[name] for name in ("COLLECTOR", "COLLECTOR_PORT", "CHECK_CERTIFICATE", "TAGS")}, {"COLLECTOR": "ingest.us4.sysdig.com", "COLLECTOR_PORT": "6443", "CHECK_CERTIFICATE": "true", "TAGS": "role:web"})
    same(stack.environment["ADDITIONAL_CONF"], "agentino_port: 6667\nlog:\n  console_priority: info\n")
    assert not {"EKIDEN_CONTROL_PLANE", "EKIDEN_FLEET", "PROXY_HOST", "OTEL_EXPORTER_OTLP_ENDPOINT"} & set(stack.environment)
    same((service["desiredCount"], service["launchType"]), (2, "FARGATE"))
    # moto forgets these; they are what the service was asked for with.
    asked = moto_types.asked["AWS::ECS::Service"]
    same(asked["deploymentConfiguration"], {"minimumHealthyPercent": 100, "maximumPercent": 200, "deploymentCircuitBreaker": {"enable": True, "rollback": True}})
    same((asked["availabilityZoneRebalancing"], asked["propagateTags"]), ("ENABLED", "SERVICE"))
    network = service["networkConfiguration"]["awsvpcConfiguration"]
    same((network["subnets"], network["assignPublicIp"]), ([world.a, world.b], "DISABLED"))
    workloads = stack.outputs["WorkloadSecurityGroup"]
    sources = (workloads, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    same(stack.rules("IpPermissions"), {(*ports, source) for source in sources for ports in ((6667, 6667), (4317, 4318))})
    same(stack.rules("IpPermissionsEgress"), {(443, 443, "0.0.0.0/0"), (6443, 6443, "0.0.0.0/0")})
    (group,) = client("logs").describe_log_groups()["logGroups"]
    same(group["retentionInDays"], 30)


def the_key_lies_in_a_secret_and_nowhere_else(world):
    stack = world.create(VENDOR)
    secret = stack.secrets["ACCESS_KEY"]
    same(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"], KEY)
    assert KEY not in json.dumps([stack.task, stack.service, stack.outputs], default=str)
    assert "ACCESS_KEY" not in stack.environment
    (statement,) = stack.policies(stack.task["executionRoleArn"])["secrets"]
    same(statement["Resource"], [secret])


def a_key_given_as_arn_stays_where_it_is(world):
    arn = "arn:aws:secretsmanager:ap-northeast-1:123456789012:secret:vendor-AbCdEf"
    stack = world.create(VENDOR | {"SysdigAccessKey": f"{arn}:key::"})
    same(stack.secrets, {"ACCESS_KEY": f"{arn}:key::"})
    same(client("secretsmanager").list_secrets()["SecretList"], [])
    same(stack.policies(stack.task["executionRoleArn"])["secrets"][0]["Resource"], [arn])


def without_a_control_plane_ecs_registers(world):
    stack = world.create(VENDOR)
    (found,) = client("servicediscovery").list_services()["Services"]
    service = client("servicediscovery").get_service(Id=found["Id"])["Service"]
    same(stack.service["serviceRegistries"], [{"registryArn": service["Arn"]}])
    same((service["Name"], service["DnsConfig"]["RoutingPolicy"]), ("relay", "MULTIVALUE"))
    same(service["DnsConfig"]["DnsRecords"], [{"Type": "A", "TTL": 10}])
    same(service["HealthCheckCustomConfig"], {"FailureThreshold": 1})
    (namespace,) = client("servicediscovery").list_namespaces()["Namespaces"]
    same((namespace["Name"], namespace["Properties"]["DnsProperties"]["SOA"]), ("ekiden.internal", {"TTL": 15}))
    same((stack.environment["EKIDEN_CLOUD_MAP_SERVICE_ID"], stack.environment["EKIDEN_CLOUD_MAP_DNS_NAME"]), (service["Id"], "relay.ekiden.internal"))
    actions = stack.actions(stack.task["taskRoleArn"])
    assert "servicediscovery:DeregisterInstance" in actions and "servicediscovery:RegisterInstance" not in actions, actions
    assert not any(action.startswith("sts:") for action in actions), actions


def with_a_control_plane_relays_join_and_register_by_their_role(world):
    stack = world.create(CONTROLLED | {"TelemetryEndpoint": "http://otel.msp.example:4317"})
    environment = stack.environment
    same((environment["EKIDEN_CONTROL_PLANE"], environment["EKIDEN_FLEET"]), ("https://relays.msp.example:8443", "tenants/acme/fleets/tokyo"))
    same(environment["EKIDEN_CONTROL_PLANE_CA_PEM"], "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")
    same(environment["OTEL_RESOURCE_ATTRIBUTES"], "tenant.id=acme,fleet.id=tokyo,cloud.account.id=123456789012,cloud.region=ap-northeast-1")
    same((stack.secrets, stack.service["serviceRegistries"], stack.outputs["DiscoveryMode"]), ({}, [], "self"))
    assert not any(name.startswith("EKIDEN_CLOUD_MAP") for name in environment)
    assert {(8443, 8443, "0.0.0.0/0"), (4317, 4317, "0.0.0.0/0")} <= stack.rules("IpPermissionsEgress")
    policies = stack.policies(stack.task["taskRoleArn"])
    wanted = {"RegisterInstance", "DeregisterInstance", "GetService", "ListInstances", "GetInstancesHealthStatus", "GetOperation"}
    found = {action for statement in policies["cloud-map"] for action in statement["Action"]}
    same({action.split(":")[1] for action in found if action.startswith("servicediscovery:")}, wanted)
    (zone,) = client("route53").list_hosted_zones()["HostedZones"]
    records = next(statement for statement in policies["cloud-map"] if "route53:ChangeResourceRecordSets" in statement["Action"])
    same(records["Resource"], f"arn:aws:route53:::hostedzone/{zone['Id'].split('/')[-1]}")
    (identity,) = policies["identity"]
    same(identity["Condition"], {"ForAllValues:StringEquals": {"sts:IdentityTokenAudience": "spiffe://ekiden.internal"}})


def what_is_named_is_what_is_made(world):
    proxy = {"HttpProxyHost": "proxy.example", "HttpProxyPort": "3129", "HttpProxyUser": "u", "HttpProxyPassword": "p4ssw0rd-of-the-proxy", "HttpProxySsl": "true"}
    image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/x/relay@sha256:" + "a" * 64
    more = {"NetworkType": "Public Subnet", "AllowedSecurityGroup": world.group, "CpuArchitecture": "ARM64", "TaskCpu": "512", "TaskMemory": "1024", "StopTimeout": "30", "LogLevel": "warning"}
    stack = world.create(VENDOR | proxy | more | {"SysdigOrchestratorAgentImage": image, "SysdigOrchestratorAgentPort": "7667"})
    same((stack.container["image"], stack.container["stopTimeout"], stack.environment["EKIDEN_LOG"]), (image, 30, "warn"))
    same((stack.task["cpu"], stack.task["memory"], stack.task["runtimePlatform"]["cpuArchitecture"]), ("512", "1024", "ARM64"))
    same((stack.environment["PROXY_HOST"], stack.environment["PROXY_PORT"], stack.environment["PROXY_SSL"]), ("proxy.example", "3129", "true"))
    same(client("secretsmanager").get_secret_value(SecretId=stack.secrets["PROXY_PASSWORD"])["SecretString"], "p4ssw0rd-of-the-proxy")
    assert "p4ssw0rd" not in json.dumps(stack.task, default=str)
    same(stack.service["networkConfiguration"]["awsvpcConfiguration"]["assignPublicIp"], "ENABLED")
    sources = (stack.outputs["WorkloadSecurityGroup"], world.group)
    same(stack.rules("IpPermissions"), {(*ports, source) for source in sources for ports in ((7667, 7667), (4317, 4318))})
    assert (3129, 3129, "0.0.0.0/0") in stack.rules("IpPermissionsEgress")


def scaling_goes_from_the_desired_count_to_the_most(world):
    stack = world.create(VENDOR | {"TargetMetric": "ECSServiceAverageCPUUtilization", "TargetValue": "50", "MaxCapacity": "6"})
    scaling = client("application-autoscaling")
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    same((target["MinCapacity"], target["MaxCapacity"]), (2, 6))
    assert target["ResourceId"].endswith("/" + stack.service["serviceName"]), target
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    same(policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"], 50.0)


def an_update_without_change_changes_nothing(world):
    stack, cloudformation = world.create(VENDOR), client("cloudformation")
    again = {"StackName": "relays", "TemplateBody": BODY, "Capabilities": ["CAPABILITY_IAM"]}
    moto_types.asked.clear()
    cloudformation.update_stack(Parameters=listed(world.parameters(VENDOR)), **again)
    same(moto_types.asked, {})
    cloudformation.update_stack(Parameters=listed(world.parameters(VENDOR | {"DesiredCount": "3"})), **again)
    after = Stack("relays")
    same((after.service["serviceArn"], after.service["desiredCount"]), (stack.service["serviceArn"], 3))
    same((after.secrets, after.outputs), (stack.secrets, stack.outputs))


def nothing_is_left_after_a_delete(world):
    groups = {group["GroupId"] for group in client("ec2").describe_security_groups()["SecurityGroups"]}
    world.create(VENDOR)
    client("cloudformation").delete_stack(StackName="relays")
    ecs = client("ecs")
    left = [
        client("servicediscovery").list_services()["Services"],
        client("servicediscovery").list_namespaces()["Namespaces"],
        client("secretsmanager").list_secrets()["SecretList"],
        client("iam").list_roles()["Roles"],
        client("logs").describe_log_groups()["logGroups"],
        ecs.list_task_definitions()["taskDefinitionArns"],
        [cluster for cluster in ecs.describe_clusters(clusters=ecs.list_clusters()["clusterArns"])["clusters"] if cluster["status"] != "INACTIVE"],
        client("cloudformation").list_exports()["Exports"],
    ]
    same(left, [[]] * len(left))
    same({group["GroupId"] for group in client("ec2").describe_security_groups()["SecurityGroups"]}, groups)


def a_stack_set_brings_up_the_same_in_two_regions(world):
    cloudformation = client("cloudformation")
    cloudformation.create_stack_set(StackSetName="relays", TemplateBody=BODY, Parameters=listed(world.parameters(CONTROLLED)), Capabilities=["CAPABILITY_IAM"])
    hosts = set()
    for place in (world, World("eu-central-1")):
        region, own = place.region, listed({"VPC": place.vpc, "SubnetA": place.a, "SubnetB": place.b})
        cloudformation.create_stack_instances(StackSetName="relays", Accounts=["123456789012"], Regions=[region], ParameterOverrides=own)
        (stack,) = client("cloudformation", region).describe_stacks()["Stacks"]
        hosts |= {output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "OrchestratorHost"}
        same(len(client("ecs", region).list_task_definitions()["taskDefinitionArns"]), 1)
    same(hosts, {"relay.ekiden.internal"})


def an_organizations_accounts_say_themselves_where_relays_go(world):
    organization = constraints.load(pathlib.Path(__file__).with_name("relay-fleet-organization.yaml").read_text())
    for name, value in (("vpc", world.vpc), ("subnet-a", world.a), ("subnet-b", world.b)):
        client("ssm").put_parameter(Name=f"/ekiden/network/{name}", Value=value, Type="String")
    same(constraints.breaches(organization, CONTROLLED, {}), [])
    client("cloudformation").create_stack(StackName="relays", TemplateBody=json.dumps(organization), Parameters=listed(CONTROLLED), Capabilities=["CAPABILITY_NAMED_IAM"])
    stack = Stack("relays")
    same(stack.service["networkConfiguration"]["awsvpcConfiguration"]["subnets"], [world.a, world.b])
    same(stack.outputs["TaskRoleArn"].split(":", 5)[5], "role/ekiden-relay-ap-northeast-1")


def bad_parameters_are_refused_by_name(world):
    table = [
        ({}, "SysdigAccessKey: without a control plane"),
        ({"SysdigAccessKey": "arn:aws:s3:::bucket"}, "SysdigAccessKey: must be a key without blanks"),
        (VENDOR | {"SysdigCollectorPort": "70000"}, "SysdigCollectorPort: must be a port"),
        (VENDOR | {"SysdigCollectorPort": "https"}, "SysdigCollectorPort: must be a number"),
        (VENDOR | {"SysdigOrchestratorAgentPort": "667"}, "SysdigOrchestratorAgentPort: must be a port from 1024"),
        (VENDOR | {"SysdigOrchestratorAgentPort": "4317"}, "SysdigOrchestratorAgentPort: 4317 and 4318 take OTLP"),
        (VENDOR | {"SysdigCheckCollectorCertificate": "yes"}, "SysdigCheckCollectorCertificate: must be one of"),
        (VENDOR | {"NetworkType": "public"}, "NetworkType: must be one of"),
        (VENDOR | {"AllowedCidr": "0.0.0.0/0"}, "AllowedCidr: must be a range"),
        (VENDOR | {"AllowedCidr": "10.0.0.300/16"}, "AllowedCidr: must be a range"),
        (VENDOR | {"AllowedSecurityGroup": "default"}, "AllowedSecurityGroup: must be the id"),
        (VENDOR | {"SubnetB": world.same_zone}, "SubnetA, SubnetB: they must lie in different availability zones"),
        (VENDOR | {"SubnetB": world.elsewhere}, "SubnetA, SubnetB: both must lie in the VPC"),
        (VENDOR | {"DnsTtl": "48", "StopTimeout": "90"}, "DnsTtl: longer than a relay can serve on"),
        (VENDOR | {"DnsTtl": "30", "StopTimeout": "60"}, "DnsTtl: longer than a relay can serve on"),
        (VENDOR | {"DnsTtl": "15", "StopTimeout": "30"}, "DnsTtl: longer than a relay can serve on"),
        (VENDOR | {"StopTimeout": "300"}, "StopTimeout: must be one of"),
        (VENDOR | {"TaskCpu": "256", "TaskMemory": "4096"}, "TaskCpu, TaskMemory: Fargate knows 256"),
        (VENDOR | {"TaskCpu": "512"}, "TaskCpu, TaskMemory: Fargate knows 512"),
        (VENDOR | {"TaskCpu": "1024"}, "TaskCpu, TaskMemory: Fargate knows 1024"),
        (VENDOR | {"TaskCpu": "2048"}, "TaskCpu, TaskMemory: Fargate knows 2048"),
        (VENDOR | {"DesiredCount": "9"}, "DesiredCount: must be 1 to 8"),
        (VENDOR | {"LogRetentionDays": "0"}, "LogRetentionDays: must be one of"),
        (VENDOR | {"DiscoveryMode": "self"}, "DiscoveryMode: self needs a control plane"),
        (VENDOR | {"NamespaceId": "ns-abc"}, "NamespaceId: give its HostedZoneId"),
        (VENDOR | {"NamespaceName": "relays"}, "NamespaceName: must be a DNS name"),
        (VENDOR | {"TargetMetric": "ECSServiceAverageCPUUtilization", "TargetValue": "0"}, "TargetValue: give the percentage"),
        (VENDOR | {"TargetMetric": "ECSServiceAverageCPUUtilization", "MaxCapacity": "0"}, "MaxCapacity: give the most"),
        (CONTROLLED | {"ControlPlaneEndpoint": "relays.msp.example"}, "ControlPlaneEndpoint: must be https://host:port"),
        (CONTROLLED | {"Tenant": ""}, "ControlPlaneEndpoint: name Tenant and Fleet"),
        (CONTROLLED | {"Tenant": "Acme"}, "Tenant: must be the id of a tenant"),
        (CONTROLLED | {"Fleet": "tenants/acme/fleets/tokyo"}, "Fleet: must be the id of a fleet"),
        (CONTROLLED | {"ControlPlaneCaPem": "-----BEGIN EC PRIVATE KEY-----\\nMIIB\\n-----END EC PRIVATE KEY-----"}, "ControlPlaneCaPem: must hold PEM certificates"),
        (CONTROLLED | {"ControlPlaneCaPem": CONTROLLED["ControlPlaneCaPem"] + "\\n-----BEGIN PRIVATE KEY-----\\nMIIB"}, "ControlPlaneCaPem: must hold PEM certificates"),
        (CONTROLLED | {"EnrollmentTokenSecretArn": "ekr_token"}, "EnrollmentTokenSecretArn: must be the ARN"),
        (CONTROLLED | {"Subnets": "subnet-1"}, "Subnets: no such parameter"),
    ]
    for given, wanted in table:
        found = world.refusals(given)
        assert any(breach.startswith(wanted) for breach in found), f"{wanted!r} is not among {found} for {given}"
    same(world.refusals(VENDOR), [])
    # Two roots, as while the control plane's CA changes.
    same(world.refusals(CONTROLLED | {"ControlPlaneCaPem": "\n".join(["-----BEGIN CERTIFICATE-----\nMI+/IB=\n-----END CERTIFICATE-----"] * 2)}), [])


def names_are_the_vendors_to_the_letter(world):
    assert {"VPC", "SubnetA", "SubnetB", *VENDOR} <= set(TEMPLATE["Parameters"])
    needed = {name for name, parameter in TEMPLATE["Parameters"].items() if "Default" not in parameter}
    same(needed, {"VPC", "SubnetA", "SubnetB"})
    for resource in TEMPLATE["Resources"].values():
        # A name of its own would need CAPABILITY_NAMED_IAM, and collide with a second stack's.
        assert not {"RoleName", "GroupName", "ClusterName", "LogGroupName"} & set(resource["Properties"]), resource


CHECKS = [check for name, check in list(globals().items()) if callable(check) and getattr(check, "__code__", None) and check.__code__.co_varnames[:1] == ("world",)]


def main():
    wanted, passed, failed = set(sys.argv[1:]), 0, 0
    moto_types.teach_all()
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        try:
            with moto.mock_aws():
                check(World())
            passed += 1
        except Exception:
            failed += 1
            print(f"cloudformation: {check.__name__}: FAILED", file=sys.stderr)
            traceback.print_exc()
    print(f"cloudformation: {passed} checks of stacks in moto passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
