"""Makes a key with the alias alias/ekiden in moto, and prints its ARN.

Usage: moto_kms.py ENDPOINT
"""

import sys

import boto3

client = boto3.client(
    "kms",
    endpoint_url=sys.argv[1],
    region_name="ap-northeast-1",
    aws_access_key_id="AKIAEKIDENWORLD00001",
    aws_secret_access_key="the-world-s-own-secret-access-key-000001",
)
key = client.create_key()["KeyMetadata"]
client.create_alias(AliasName="alias/ekiden", TargetKeyId=key["KeyId"])
print(key["Arn"])
