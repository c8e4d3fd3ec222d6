# A VPC to try things in: public subnets in two zones. Bring your own to production.
terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}

variable "name" {
  description = "Begins the names of everything here."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
}

variable "private" {
  description = "Whether to make private subnets, too, with a NAT gateway."
  type        = bool
  default     = false
}

data "aws_availability_zones" "available" {
  state = "available"

  # No local zones: they have no load balancers of every kind, and few instance classes.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  zones = slice(data.aws_availability_zones.available.names, 0, 2)
}

resource "aws_vpc" "network" {
  cidr_block = var.cidr
  # Both are needed for names of Cloud Map to resolve.
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# Nothing passes by the group that AWS makes.
resource "aws_default_security_group" "network" {
  vpc_id = aws_vpc.network.id
}

resource "aws_internet_gateway" "network" {
  vpc_id = aws_vpc.network.id

  tags = { Name = var.name }
}

resource "aws_subnet" "public" {
  count = 2

  vpc_id            = aws_vpc.network.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr, 8, count.index)

  tags = { Name = "${var.name}-public-${count.index}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.network.id

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.network.id
  }

  tags = { Name = "${var.name}-public" }
}

resource "aws_route_table_association" "public" {
  count = 2

  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_subnet" "private" {
  count = var.private ? 2 : 0

  vpc_id            = aws_vpc.network.id
  availability_zone = local.zones[count.index]
  cidr_block        = cidrsubnet(var.cidr, 8, 128 + count.index)

  tags = { Name = "${var.name}-private-${count.index}" }
}

resource "aws_eip" "nat" {
  count = var.private ? 1 : 0

  domain = "vpc"

  tags = { Name = var.name }
}

resource "aws_nat_gateway" "network" {
  count = var.private ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[0].id

  tags = { Name = var.name }

  depends_on = [aws_internet_gateway.network]
}

resource "aws_route_table" "private" {
  count = var.private ? 1 : 0

  vpc_id = aws_vpc.network.id

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.network[0].id
  }

  tags = { Name = "${var.name}-private" }
}

resource "aws_route_table_association" "private" {
  count = var.private ? 2 : 0

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private[0].id
}

output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.network.id
}

output "public_subnets" {
  description = "Subnets with public addresses."
  value       = aws_subnet.public[*].id
}

output "private_subnets" {
  description = "Subnets behind the NAT gateway; none without `private`."
  value       = aws_subnet.private[*].id
}
