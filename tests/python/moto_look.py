"""Looks at what Terraform made in moto.

Usage: moto_look.py ENDPOINT secret PREFIX | moto_look.py ENDPOINT soa-ttl NAMESPACE
"""

import sys

import boto3


def client(service):
    return boto3.client(
        service,
        endpoint_url=sys.argv[1],
        region_name="ap-northeast-1",
        aws_access_key_id="AKIAEKIDENWORLD00001",
        aws_secret_access_key="the-world-s-own-secret-access-key-000001",
    )


if sys.argv[2] == "secret":
    secrets = client("secretsmanager")
    (found,) = [secret for secret in secrets.list_secrets()["SecretList"] if secret["Name"].startswith(sys.argv[3])]
    print(secrets.get_secret_value(SecretId=found["ARN"])["SecretString"])
else:
    cloud_map = client("servicediscovery")
    (found,) = [namespace for namespace in cloud_map.list_namespaces()["Namespaces"] if namespace["Name"] == sys.argv[3]]
    namespace = cloud_map.get_namespace(Id=found["Id"])["Namespace"]
    print(int(namespace["Properties"]["DnsProperties"]["SOA"]["TTL"]))
