# What AWS would answer. The rest Terraform makes up.
mock_data "aws_caller_identity" {
  defaults = { account_id = "111122223333" }
}

mock_data "aws_partition" {
  defaults = {
    partition  = "aws"
    dns_suffix = "amazonaws.com"
  }
}

mock_data "aws_region" {
  defaults = { name = "ap-northeast-1" }
}

mock_data "aws_ecr_image" {
  defaults = { image_digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
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

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:made-AbCdEf" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:ap-northeast-1:111122223333:log-group:made" }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:ap-northeast-1:111122223333:task-definition/made:1" }
}

mock_resource "aws_ecs_cluster" {
  defaults = { id = "arn:aws:ecs:ap-northeast-1:111122223333:cluster/made" }
}

mock_resource "aws_lb_listener" {
  defaults = { arn = "arn:aws:elasticloadbalancing:ap-northeast-1:111122223333:listener/net/made/0123456789abcdef/0123456789abcdef" }
}

mock_resource "aws_kms_key" {
  defaults = { arn = "arn:aws:kms:ap-northeast-1:111122223333:key/made" }
}

mock_resource "aws_lb" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:ap-northeast-1:111122223333:loadbalancer/net/made/0123456789abcdef"
    arn_suffix = "net/made/0123456789abcdef"
    dns_name   = "made.elb.ap-northeast-1.amazonaws.com"
    zone_id    = "ZELB"
  }
}

mock_resource "aws_lb_target_group" {
  defaults = {
    arn        = "arn:aws:elasticloadbalancing:ap-northeast-1:111122223333:targetgroup/made/0123456789abcdef"
    arn_suffix = "targetgroup/made/0123456789abcdef"
  }
}

mock_resource "aws_db_instance" {
  defaults = {
    address = "ekiden.made.ap-northeast-1.rds.amazonaws.com"
    port    = 5432
  }
}
