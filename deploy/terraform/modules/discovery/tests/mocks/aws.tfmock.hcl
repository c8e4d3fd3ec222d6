# What AWS would answer. The rest Terraform makes up.
mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_service_discovery_dns_namespace" {
  defaults = {
    id          = "ns-found"
    hosted_zone = "ZFOUND"
  }
}

mock_resource "aws_cloudformation_stack" {
  defaults = {
    outputs = {
      Id           = "ns-made"
      HostedZoneId = "ZMADE"
    }
  }
}

mock_resource "aws_service_discovery_service" {
  defaults = {
    id  = "srv-made"
    arn = "arn:aws:servicediscovery:ap-northeast-1:111122223333:service/srv-made"
  }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::111122223333:role/made" }
}
