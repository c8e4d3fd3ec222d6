# The vendor's module has a load balancer that workloads may still know by name. With `enable_nlb` it stays, as it is,
# beside Cloud Map; without it goes.
moved {
  from = aws_lb.orchestrator_agent
  to   = aws_lb.relay[0]
}

moved {
  from = aws_lb_target_group.orchestrator_agent
  to   = aws_lb_target_group.relay[0]
}

moved {
  from = aws_lb_listener.orchestrator_agent
  to   = aws_lb_listener.relay[0]
}

moved {
  from = aws_security_group.orchestrator_agent
  to   = aws_security_group.relay
}

resource "aws_lb" "relay" {
  count = var.enable_nlb ? 1 : 0

  name                             = var.lb_name != "" ? var.lb_name : null
  internal                         = true
  load_balancer_type               = "network"
  ip_address_type                  = "ipv4"
  subnets                          = var.subnets
  security_groups                  = [aws_security_group.balancer[0].id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.nlb_deletion_protection

  tags = local.tags

  lifecycle {
    # One made without groups can never be given any; it would be made anew, under another name.
    ignore_changes = [security_groups]
  }
}

resource "aws_lb_target_group" "relay" {
  count = var.enable_nlb ? 1 : 0

  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "TCP"
  port                 = var.orchestrator_port
  deregistration_delay = 60

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = local.tags
}

resource "aws_lb_listener" "relay" {
  count = var.enable_nlb ? 1 : 0

  load_balancer_arn = aws_lb.relay[0].arn
  protocol          = "TCP"
  port              = var.orchestrator_port

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.relay[0].arn
  }

  tags = local.tags
}

resource "aws_security_group" "balancer" {
  count = var.enable_nlb ? 1 : 0

  name_prefix = "${var.name}-balancer-"
  description = "Load balancer before relays of ${var.name}"
  vpc_id      = var.vpc_id

  tags = local.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "balancer_groups" {
  for_each = var.enable_nlb ? { for index, group in local.allowed_groups : tostring(index) => group } : {}

  security_group_id            = aws_security_group.balancer[0].id
  description                  = "Workloads of ${each.value}"
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = var.orchestrator_port
  to_port                      = var.orchestrator_port

  tags = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "balancer_vpc" {
  for_each = var.enable_nlb ? toset(local.from_vpc) : toset([])

  security_group_id = aws_security_group.balancer[0].id
  description       = "Workloads of the VPC"
  cidr_ipv4         = each.value
  ip_protocol       = "tcp"
  from_port         = var.orchestrator_port
  to_port           = var.orchestrator_port

  tags = local.tags
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  count = var.enable_nlb ? 1 : 0

  security_group_id            = aws_security_group.balancer[0].id
  description                  = "Relays"
  referenced_security_group_id = aws_security_group.relay.id
  ip_protocol                  = "tcp"
  from_port                    = var.orchestrator_port
  to_port                      = var.orchestrator_port

  tags = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "from_balancer" {
  count = var.enable_nlb ? 1 : 0

  security_group_id            = aws_security_group.relay.id
  description                  = "Load balancer"
  referenced_security_group_id = aws_security_group.balancer[0].id
  ip_protocol                  = "tcp"
  from_port                    = var.orchestrator_port
  to_port                      = var.orchestrator_port

  tags = local.tags
}
