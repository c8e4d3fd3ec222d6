# A fleet without a control plane in an account of its own: relays run from what is said here.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "network" {
  source = "../network"

  name = "ekiden"
  cidr = "10.20.0.0/16"
}

# What runs workloads gives them this group; nobody else reaches relays.
resource "aws_security_group" "workloads" {
  name_prefix = "ekiden-workloads-"
  description = "Workloads that send telemetry"
  vpc_id      = module.network.vpc_id
}

module "relays" {
  source = "../../modules/relay-fleet"

  name                       = "tokyo"
  vpc_id                     = module.network.vpc_id
  subnets                    = module.network.public_subnets
  assign_public_ip           = true
  access_key                 = var.access_key
  collector_host             = var.collector_host
  agent_image                = var.relay_image
  runtime_platform           = { cpu_architecture = "ARM64" }
  allowed_security_group_ids = [aws_security_group.workloads.id]
}
