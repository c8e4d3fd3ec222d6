data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

data "aws_vpc" "fleet" {
  id = var.vpc_id
}

locals {
  tags        = merge(var.tags, var.default_tags)
  kms_key_arn = var.kms_key_arn != "" ? var.kms_key_arn : null

  controlled     = var.control_plane_endpoint != ""
  discovery_mode = var.discovery_mode != null ? var.discovery_mode : local.controlled ? "self" : "ecs"

  own_namespace  = var.create_namespace != null ? var.create_namespace : var.namespace_id == ""
  dns_label      = replace(lower(var.name), "_", "-")
  namespace_name = var.namespace_name != "" ? lower(var.namespace_name) : "${local.dns_label}.internal"
  service_name   = var.service_name != "" ? var.service_name : local.own_namespace ? "relay" : local.dns_label

  services = length(var.discovery_services) > 0 ? var.discovery_services : module.discovery[0].services
  dns_name = local.services[0].dns_name
}

module "discovery" {
  source = "../discovery"
  count  = length(var.discovery_services) > 0 ? 0 : 1

  name             = var.name
  vpc_id           = var.vpc_id
  service_name     = local.service_name
  namespace_name   = local.namespace_name
  namespace_id     = var.namespace_id
  create_namespace = local.own_namespace
  dns_ttl          = var.dns_ttl
  soa_ttl          = var.soa_ttl
  cell_count       = var.cell_count
  tags             = local.tags
}
