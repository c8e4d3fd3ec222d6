locals {
  vpc_cidr = var.vpc_cidr != "" ? var.vpc_cidr : data.aws_vpc.fleet.cidr_block

  # Who may reach relays: the groups named, else the VPC; the balancer's group besides.
  allowed_groups = var.allowed_security_group_ids
  from_vpc       = length(local.allowed_groups) == 0 ? [local.vpc_cidr] : []

  # A CIDR has no length that hides "everyone": one rule for each port keeps each visible.
  ingress_from_groups = { for pair in setproduct(range(length(local.allowed_groups)), local.ports) : "${pair[0]}-${pair[1]}" => { group = local.allowed_groups[pair[0]], port = pair[1] } }
  ingress_from_vpc    = { for pair in setproduct(local.from_vpc, local.ports) : tostring(pair[1]) => { cidr = pair[0], port = pair[1] } }

  control_plane_port = (
    !local.controlled ? 443 :
    startswith(var.control_plane_endpoint, "srv:") ? 8443 :
    try(tonumber(regex("^https://[^/]*:([0-9]+)/?$", var.control_plane_endpoint)[0]), 443)
  )
  # 443: AWS's own APIs, ECR and CloudWatch.
  egress_ports = toset(concat(
    [443, tonumber(var.collector_port), local.control_plane_port],
    local.proxy.proxy_host != "" ? [tonumber(local.proxy.proxy_port)] : [],
    var.egress_ports,
  ))
  egress = { for pair in setproduct(local.egress_ports, var.egress_cidr_blocks) : "${pair[0]}-${pair[1]}" => { port = pair[0], cidr = pair[1] } }
}

# Name and description are those that it was made with: a group of the vendor's module stays, with the rules of others
# that name it.
resource "aws_security_group" "relay" {
  name_prefix = "${var.name}-relay-"
  description = "Relays of ${var.name}"
  vpc_id      = var.vpc_id

  tags = local.tags

  lifecycle {
    create_before_destroy = true
    ignore_changes        = [name, name_prefix, description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "groups" {
  for_each = local.ingress_from_groups

  security_group_id            = aws_security_group.relay.id
  description                  = "Workloads of ${each.value.group}"
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port

  tags = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "vpc" {
  for_each = local.ingress_from_vpc

  security_group_id = aws_security_group.relay.id
  description       = "Workloads of the VPC"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port

  tags = local.tags

  lifecycle {
    precondition {
      condition     = tonumber(split("/", each.value.cidr)[1]) >= 8
      error_message = "vpc_cidr: ${each.value.cidr} would let in more than any VPC holds; name the groups of workloads in allowed_security_group_ids."
    }
  }
}

resource "aws_vpc_security_group_egress_rule" "relay" {
  for_each = local.egress

  security_group_id = aws_security_group.relay.id
  description       = "Collectors, control plane, AWS"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port

  tags = local.tags
}

# The VPC's own resolver is outside of security groups; this is for others in the VPC.
resource "aws_vpc_security_group_egress_rule" "dns" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.relay.id
  description       = "DNS servers of the VPC"
  cidr_ipv4         = data.aws_vpc.fleet.cidr_block
  ip_protocol       = each.key
  from_port         = 53
  to_port           = 53

  tags = local.tags
}
