"""Teaches moto's CloudFormation the resource types of our templates.

moto knows some of them not at all (Cloud Map, secrets, scaling), and drops most properties of others (ECS). Here each is
made by the service's own API call, so that botocore checks every name and type against AWS's model of it.
"""

import functools
import json

import boto3

# moto loads its own types when this is first imported; ours must come after them.
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

with_gaps = parsing.clean_json


def without_gaps(node, resources):
    """moto leaves a gap in a list where `AWS::NoValue` stands."""
    cleaned = with_gaps(node, resources)
    return [part for part in cleaned if part is not None] if isinstance(cleaned, list) else cleaned


parsing.clean_json = without_gaps

# What the service was last asked for, by type; moto forgets some of it.
asked = {}


@functools.cache
def client(service, region="ap-northeast-1"):
    return boto3.client(service, region_name=region)


def coerced(value, shape):
    """`value` as the API's model wants it: CloudFormation passes numbers as text, and names begin with a capital."""
    kind = shape.type_name
    if kind == "structure":
        # A name that the model does not have stays, for botocore to refuse.
        named = {key if key in shape.members else key[0].lower() + key[1:]: part for key, part in value.items()}
        return {key: coerced(part, shape.members[key]) if key in shape.members else part for key, part in named.items()}
    if kind == "list":
        return [coerced(part, shape.member) for part in value]
    if kind == "map":
        return {key: coerced(part, shape.value) for key, part in value.items()}
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("double", "float"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else value == "true"
    return str(value)


def call(region, service, operation, properties, kind=None):
    api = client(service, region)
    shape = api.meta.service_model.operation_model("".join(part.title() for part in operation.split("_"))).input_shape
    asked[kind] = coerced(properties, shape)
    return getattr(api, operation)(**asked[kind])


def teach(kind, service, create, identify, attributes=None, delete=None, update=None, prepare=lambda properties, name: properties, after=lambda region, properties, answer: None):
    """Registers one resource type: `identify` finds in the answer its physical id, `attributes` what GetAtt gives."""

    def make(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        # moto puts a colon into the names of a stack set's stacks, AWS a hyphen.
        properties = prepare(dict(cloudformation_json["Properties"]), resource_name.replace(":", "-"))
        answer = call(region_name, service, create, properties, kind)
        self = cls()
        self.region, self.properties = region_name, cloudformation_json["Properties"]
        self.id = identify(answer, region_name)
        self.attributes = {name: find(answer, region_name) for name, find in (attributes or {}).items()}
        after(region_name, cloudformation_json["Properties"], answer)
        return self

    def change(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
        if update is None:
            return make(cls, new_resource_name, cloudformation_json, account_id, region_name)
        operation, arguments = update
        call(region_name, service, operation, arguments(original_resource, cloudformation_json["Properties"]))
        return original_resource

    def remove(self, account_id, region_name):
        if delete is not None:
            operation, arguments = delete
            call(region_name, service, operation, arguments(self))

    def get(self, name):
        return self.attributes[name]

    type(
        kind.replace("::", ""),
        (CloudFormationModel,),
        {
            # moto finds out a resource's region by the module of its class.
            "__module__": f"moto.{service.replace('-', '')}.models",
            "physical_resource_id": property(lambda self: self.id),
            "cloudformation_name_type": staticmethod(lambda: ""),
            "cloudformation_type": staticmethod(lambda: kind),
            "has_cfn_attr": classmethod(lambda cls, name: name in (attributes or {})),
            "get_cfn_attribute": get,
            "create_from_cloudformation_json": classmethod(make),
            "update_from_cloudformation_json": classmethod(change),
            "delete_from_cloudformation_json": classmethod(lambda *_, **__: None),
            "delete": remove,
        },
    )


def found_namespace(field):
    def find(answer, region):
        api = client("servicediscovery", region)
        namespace = api.get_operation(OperationId=answer["OperationId"])["Operation"]["Targets"]["NAMESPACE"]
        return field(api.get_namespace(Id=namespace)["Namespace"])

    return find


def permissions(rules):
    """Rules of a security group as the API takes them, one of each, so that each keeps its description."""
    for rule in rules:
        permission = {"IpProtocol": rule["IpProtocol"], "FromPort": int(rule["FromPort"]), "ToPort": int(rule["ToPort"])}
        if "CidrIp" in rule:
            yield permission | {"IpRanges": [{"CidrIp": rule["CidrIp"], "Description": rule["Description"]}]}
        else:
            yield permission | {"UserIdGroupPairs": [{"GroupId": rule["SourceSecurityGroupId"], "Description": rule["Description"]}]}


def authorize(region, properties, answer):
    ec2 = client("ec2", region)
    group = answer["GroupId"]
    for permission in permissions(properties.get("SecurityGroupIngress", [])):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    # A group is made with leave to go anywhere; CloudFormation takes it back where the template says where to.
    for permission in ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[permission])
    for permission in permissions(properties["SecurityGroupEgress"]):
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[permission])


def put_policies(region, properties, answer):
    for policy in properties["Policies"]:
        document = json.dumps(policy["PolicyDocument"])
        client("iam", region).put_role_policy(RoleName=answer["Role"]["RoleName"], PolicyName=policy["PolicyName"], PolicyDocument=document)


def without_policies(role):
    for policy in role.properties["Policies"]:
        client("iam", role.region).delete_role_policy(RoleName=role.id, PolicyName=policy["PolicyName"])
    return {"RoleName": role.id}


def role_properties(properties, name):
    trust = json.dumps(properties["AssumeRolePolicyDocument"])
    return {"RoleName": properties.get("RoleName", name), "Description": properties["Description"], "AssumeRolePolicyDocument": trust}


def teach_all():
    namespace = {
        "Id": found_namespace(lambda found: found["Id"]),
        "Arn": found_namespace(lambda found: found["Arn"]),
        "HostedZoneId": found_namespace(lambda found: found["Properties"]["DnsProperties"]["HostedZoneId"].split("/")[-1]),
    }
    teach(
        "AWS::ServiceDiscovery::PrivateDnsNamespace",
        "servicediscovery",
        "create_private_dns_namespace",
        namespace["Id"],
        namespace,
        ("delete_namespace", lambda resource: {"Id": resource.id}),
    )
    teach(
        "AWS::ServiceDiscovery::Service",
        "servicediscovery",
        "create_service",
        lambda answer, _: answer["Service"]["Id"],
        {"Id": lambda answer, _: answer["Service"]["Id"], "Arn": lambda answer, _: answer["Service"]["Arn"]},
        ("delete_service", lambda resource: {"Id": resource.id}),
    )
    teach(
        "AWS::SecretsManager::Secret",
        "secretsmanager",
        "create_secret",
        lambda answer, _: answer["ARN"],
        {},
        ("delete_secret", lambda resource: {"SecretId": resource.id, "ForceDeleteWithoutRecovery": True}),
        prepare=lambda properties, name: {"Name": name, **properties},
    )
    teach(
        "AWS::EC2::SecurityGroup",
        "ec2",
        "create_security_group",
        lambda answer, _: answer["GroupId"],
        {"GroupId": lambda answer, _: answer["GroupId"]},
        ("delete_security_group", lambda resource: {"GroupId": resource.id}),
        prepare=lambda properties, name: {"GroupName": name, "Description": properties["GroupDescription"], "VpcId": properties["VpcId"]},
        after=authorize,
    )
    teach(
        "AWS::IAM::Role",
        "iam",
        "create_role",
        lambda answer, _: answer["Role"]["RoleName"],
        {"Arn": lambda answer, _: answer["Role"]["Arn"]},
        ("delete_role", without_policies),
        prepare=role_properties,
        after=put_policies,
    )
    teach(
        "AWS::ECS::Cluster",
        "ecs",
        "create_cluster",
        lambda answer, _: answer["cluster"]["clusterName"],
        {},
        ("delete_cluster", lambda resource: {"cluster": resource.id}),
        prepare=lambda properties, name: {"ClusterName": name, "settings": properties["ClusterSettings"]},
    )
    teach(
        "AWS::ECS::TaskDefinition",
        "ecs",
        "register_task_definition",
        lambda answer, _: answer["taskDefinition"]["taskDefinitionArn"],
        {},
        ("deregister_task_definition", lambda resource: {"taskDefinition": resource.id}),
        prepare=lambda properties, name: {"Family": name, **properties},
    )
    teach(
        "AWS::ECS::Service",
        "ecs",
        "create_service",
        lambda answer, _: answer["service"]["serviceArn"],
        {"Name": lambda answer, _: answer["service"]["serviceName"]},
        ("delete_service", lambda resource: {"cluster": resource.properties["Cluster"], "service": resource.id, "force": True}),
        (
            "update_service",
            lambda resource, wanted: {
                "cluster": wanted["Cluster"],
                "service": resource.id,
                "taskDefinition": wanted["TaskDefinition"],
                "desiredCount": wanted["DesiredCount"],
            },
        ),
        prepare=lambda properties, name: {"ServiceName": name, **properties},
    )
    teach(
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "application-autoscaling",
        "register_scalable_target",
        lambda answer, _: answer["ScalableTargetARN"],
        {},
    )
    teach(
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "application-autoscaling",
        "put_scaling_policy",
        lambda answer, _: answer["PolicyARN"],
    )
