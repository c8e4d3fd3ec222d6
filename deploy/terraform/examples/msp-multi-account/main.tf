# The provider's account holds the control plane, a customer's account a fleet that joins it by its task's role.
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
  alias  = "provider"
  region = var.region
}

provider "aws" {
  alias  = "customer"
  region = var.region

  assume_role {
    role_arn    = var.customer_role_arn
    external_id = var.customer_external_id
  }
}

# The provider's account.

module "provider_network" {
  source    = "../network"
  providers = { aws = aws.provider }

  name    = "ekiden"
  cidr    = "10.10.0.0/16"
  private = true
}

# Goes from here to the database and its secret; no state and no plan holds it.
ephemeral "aws_secretsmanager_random_password" "database" {
  provider = aws.provider

  password_length     = 40
  exclude_punctuation = true
}

module "control_plane" {
  source    = "../../modules/control-plane"
  providers = { aws = aws.provider }

  vpc_id              = module.provider_network.vpc_id
  subnets             = module.provider_network.private_subnets
  balancer_subnets    = module.provider_network.public_subnets
  server_names        = [var.server_name]
  zone_id             = var.zone_id
  database_password   = ephemeral.aws_secretsmanager_random_password.database.random_password
  database_ca_pem     = file(var.database_ca_file)
  image               = var.control_plane_image
  deletion_protection = var.deletion_protection
  alarm_actions       = var.alarm_actions

  # Relays prove themselves by certificate, and customers' addresses change.
  relay_cidr_blocks    = ["0.0.0.0/0"]
  operator_cidr_blocks = var.operator_cidr_blocks
}

# The customer's account. It gives the provider nothing: relays call out, and prove who they are by their role.

module "customer_network" {
  source    = "../network"
  providers = { aws = aws.customer }

  name = "acme"
  cidr = "10.20.0.0/16"
}

resource "aws_security_group" "workloads" {
  provider = aws.customer

  name_prefix = "acme-workloads-"
  description = "Workloads that send telemetry"
  vpc_id      = module.customer_network.vpc_id
}

module "relays" {
  source    = "../../modules/relay-fleet"
  providers = { aws = aws.customer }

  name                       = "acme-tokyo"
  vpc_id                     = module.customer_network.vpc_id
  subnets                    = module.customer_network.public_subnets
  assign_public_ip           = true
  agent_image                = var.relay_image
  allowed_security_group_ids = [aws_security_group.workloads.id]
  cell_count                 = 2
  desired_count              = 3

  control_plane_endpoint = module.control_plane.endpoint
  control_plane_ca_pem   = var.control_plane_ca_file == "" ? "" : file(var.control_plane_ca_file)
  trust_domain           = module.control_plane.trust_domain
  tenant                 = "acme"
  fleet                  = "tokyo"
}
