data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.name

  relay_port    = 8443
  operator_port = 9443

  namespace_name = var.namespace_name != "" ? var.namespace_name : "${var.name}.internal"
  internal_name  = "control-plane.${local.namespace_name}"
}

# Where this VPC finds the replicas without the load balancer. ECS registers them, and takes out the dead.
module "discovery" {
  source = "../discovery"

  name           = var.name
  vpc_id         = var.vpc_id
  service_name   = "control-plane"
  namespace_name = local.namespace_name
  namespace_id   = var.namespace_id
  tags           = var.tags
}

resource "aws_cloudwatch_log_group" "control_plane" {
  name              = "/ekiden/control-plane/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.storage.arn

  tags = var.tags
}

resource "aws_cloudwatch_log_group" "database" {
  for_each = toset(["postgresql", "upgrade"])

  name              = "/aws/rds/instance/${var.name}/${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.storage.arn

  tags = var.tags
}
