locals {
  # Who comes to which port of the balancer.
  visitors = merge(
    { for cidr in var.relay_cidr_blocks : "relay-${cidr}" => { port = local.relay_port, cidr = cidr, group = null, who = "Relays" } },
    { for index, group in var.relay_security_group_ids : "relay-group-${index}" => { port = local.relay_port, cidr = null, group = group, who = "Relays" } },
    { for cidr in var.operator_cidr_blocks : "operator-${cidr}" => { port = local.operator_port, cidr = cidr, group = null, who = "Operators" } },
  )
  ports = { relays = local.relay_port, operators = local.operator_port }
}

resource "aws_security_group" "balancer" {
  name_prefix = "${var.name}-balancer-"
  description = "Load balancer of ${var.name}"
  vpc_id      = var.vpc_id

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = local.visitors

  security_group_id            = aws_security_group.balancer.id
  description                  = each.value.who
  cidr_ipv4                    = each.value.cidr
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = local.ports

  security_group_id            = aws_security_group.balancer.id
  description                  = "Replicas"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value

  tags = var.tags
}

resource "aws_security_group" "tasks" {
  name_prefix = "${var.name}-tasks-"
  description = "Replicas of ${var.name}"
  vpc_id      = var.vpc_id

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "tasks" {
  for_each = local.ports

  security_group_id            = aws_security_group.tasks.id
  description                  = "Load balancer"
  referenced_security_group_id = aws_security_group.balancer.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value

  tags = var.tags
}

# Relays of this VPC, which find replicas in Cloud Map.
resource "aws_vpc_security_group_ingress_rule" "tasks_relays" {
  for_each = { for index, group in var.relay_security_group_ids : tostring(index) => group }

  security_group_id            = aws_security_group.tasks.id
  description                  = "Relays of this VPC"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.relay_port
  to_port                      = local.relay_port

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "tasks_database" {
  security_group_id            = aws_security_group.tasks.id
  description                  = "Database"
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432

  tags = var.tags
}

resource "aws_vpc_security_group_egress_rule" "tasks_https" {
  security_group_id = aws_security_group.tasks.id
  description       = "KMS, STS, issuers of tokens"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443

  tags = var.tags
}

resource "aws_security_group" "database" {
  name_prefix = "${var.name}-database-"
  description = "Database of ${var.name}"
  vpc_id      = var.vpc_id

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  security_group_id            = aws_security_group.database.id
  description                  = "Replicas"
  referenced_security_group_id = aws_security_group.tasks.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432

  tags = var.tags
}
