"""Serves moto for Terraform on a free port of loopback until it is stopped, and writes what Terraform needs into a file.

Usage: moto_terraform.py FOLDER

FOLDER/moto.json appears when it serves: the endpoint, and a VPC with two subnets. Both accounts have the relay's image in
ECR, the provider's the control plane's, too.
"""

import hashlib
import json
import os
import signal
import sys
import threading

# Set before moto and boto3 look: nothing here may find credentials of the machine's, or leave it.
os.environ.update(
    AWS_ACCESS_KEY_ID="AKIAEKIDENWORLD00001",
    AWS_SECRET_ACCESS_KEY="the-world-s-own-secret-access-key-000001",
    AWS_DEFAULT_REGION="ap-northeast-1",
    AWS_CONFIG_FILE=os.devnull,
    AWS_SHARED_CREDENTIALS_FILE=os.devnull,
    NO_PROXY="127.0.0.1",
    MOTO_IAM_LOAD_MANAGED_POLICIES="true",
)
os.environ.pop("AWS_SESSION_TOKEN", None)

import boto3
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.core.common_models import CloudFormationModel
from moto.ec2.models.security_groups import SecurityGroupRule
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.rds.models import DBParameterGroup
from moto.rds.responses import RDSResponse
from moto.servicediscovery.models import Namespace, servicediscovery_backends

CUSTOMER = "210987654321"


# What moto lacks, or forgets and AWS does not. A plan after an apply would show it as changed by someone else.


# The tags of a scalable target, for which Terraform asks after each change, and would ask for ever.
def list_tags_for_resource(self):
    return json.dumps({"Tags": {}})


ApplicationAutoScalingResponse.list_tags_for_resource = list_tags_for_resource


def remembering(create, parameters):
    """`create` of a backend's response, whose result keeps these request parameters under these names."""

    def remembered(self):
        result = create(self)
        (made,) = result.result.values()
        for parameter, name in parameters.items():
            if (given := self._get_param(parameter)) is not None:
                setattr(made, name, given)
        return result

    return remembered


EC2ContainerServiceResponse.create_service = remembering(
    EC2ContainerServiceResponse.create_service,
    {
        "availabilityZoneRebalancing": "availability_zone_rebalancing",
        "enableECSManagedTags": "enable_ecs_managed_tags",
        "healthCheckGracePeriodSeconds": "health_check_grace_period_seconds",
    },
)
RDSResponse.create_db_instance = remembering(
    RDSResponse.create_db_instance,
    {
        "EnablePerformanceInsights": "performance_insights_enabled",
        "PerformanceInsightsKMSKeyId": "performance_insights_kms_key_id",
    },
)


# Who set a parameter of a database.
def update_parameters(self, new_parameters):
    for parameter in new_parameters:
        self.parameters[parameter["ParameterName"]].update({**parameter, "Source": "user"})


DBParameterGroup.update_parameters = update_parameters
# The description of a rule that names a group.
SecurityGroupRule.description = property(lambda rule: (rule.ip_range or rule.source_group or {}).get("Description"))


class PrivateDnsNamespace(CloudFormationModel):
    """AWS::ServiceDiscovery::PrivateDnsNamespace, which moto's stacks do not know, in moto's own Cloud Map."""

    # moto files its classes by the module they come from.
    __module__ = "moto.servicediscovery.models"

    def __init__(self, namespace: Namespace):
        self.namespace = namespace

    @property
    def physical_resource_id(self):
        return self.namespace.id

    @staticmethod
    def cloudformation_name_type():
        return "Name"

    @staticmethod
    def cloudformation_type():
        return "AWS::ServiceDiscovery::PrivateDnsNamespace"

    @classmethod
    def has_cfn_attr(cls, attr):
        return attr in ("Id", "Arn", "HostedZoneId")

    def get_cfn_attribute(self, attribute_name):
        return {
            "Id": self.namespace.id,
            "Arn": self.namespace.arn,
            "HostedZoneId": self.namespace.dns_properties["HostedZoneId"],
        }[attribute_name]

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        wanted = cloudformation_json["Properties"]
        backend = servicediscovery_backends[account_id][region_name]
        backend.create_private_dns_namespace(
            name=wanted["Name"],
            creator_request_id=resource_name,
            vpc=wanted["Vpc"],
            description=wanted.get("Description"),
            tags=[],
            properties=wanted["Properties"],
        )
        made = [namespace for namespace in backend.namespaces.values() if namespace.name == wanted["Name"]]
        return cls(made[-1])

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        servicediscovery_backends[account_id][region_name].delete_namespace(resource_name)


def client(service, endpoint, **credentials):
    return boto3.client(service, endpoint_url=endpoint, **credentials)


def put_image(endpoint, repository, **credentials):
    ecr = client("ecr", endpoint, **credentials)
    ecr.create_repository(repositoryName=repository)
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    digest = "sha256:" + hashlib.sha256(repository.encode()).hexdigest()
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": {"digest": digest, "size": 1}, "layers": []}
    ecr.put_image(repositoryName=repository, imageTag="0.1.0", imageManifest=json.dumps(manifest))


def make_world(endpoint):
    sts = client("sts", endpoint)
    taken = sts.assume_role(RoleArn=f"arn:aws:iam::{CUSTOMER}:role/terraform", RoleSessionName="world", ExternalId="a customer")
    customer = {
        "aws_access_key_id": taken["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": taken["Credentials"]["SecretAccessKey"],
        "aws_session_token": taken["Credentials"]["SessionToken"],
    }
    put_image(endpoint, "ekiden/relay")
    put_image(endpoint, "ekiden/control-plane")
    put_image(endpoint, "ekiden/relay", **customer)
    ec2 = client("ec2", endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.30.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.30.{number}.0/24", AvailabilityZone=f"ap-northeast-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ac")
    ]
    return {"endpoint": endpoint, "vpc_id": vpc, "subnets": subnets, "customer_role_arn": f"arn:aws:iam::{CUSTOMER}:role/terraform"}


def main():
    folder = sys.argv[1]
    stopped = threading.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda *_: stopped.set())
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    world = make_world(f"http://{host}:{port}")
    with open(f"{folder}/moto.json.new", "w") as file:
        json.dump(world, file)
    os.rename(f"{folder}/moto.json.new", f"{folder}/moto.json")
    # Whoever started it may be killed before it can stop it.
    parent = os.getppid()
    while not stopped.wait(1):
        if os.getppid() != parent:
            break
    server.stop()


main()
