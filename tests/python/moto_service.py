"""Makes a Cloud Map service in moto, or lists the instances of one.

Usage: moto_service.py ENDPOINT make | moto_service.py ENDPOINT list SERVICE
"""

import sys

import boto3

client = boto3.client(
    "servicediscovery",
    endpoint_url=sys.argv[1],
    region_name="ap-northeast-1",
    aws_access_key_id="AKIAEKIDENWORLD00001",
    aws_secret_access_key="the-world-s-own-secret-access-key-000001",
)
if sys.argv[2] == "make":
    client.create_private_dns_namespace(Name="moto.test", Vpc="vpc-1")
    namespace = client.list_namespaces()["Namespaces"][0]["Id"]
    service = client.create_service(
        Name="relay",
        NamespaceId=namespace,
        DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 1}], "RoutingPolicy": "MULTIVALUE"},
        HealthCheckCustomConfig={"FailureThreshold": 1},
    )
    print(service["Service"]["Id"])
else:
    for instance in client.list_instances(ServiceId=sys.argv[3])["Instances"]:
        print(instance["Id"], instance["Attributes"].get("AWS_INSTANCE_IPV4"))
