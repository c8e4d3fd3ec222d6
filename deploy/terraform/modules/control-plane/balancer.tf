# TLS goes through untouched: the control plane looks at the relays' certificates itself.
resource "aws_lb" "control_plane" {
  name                             = "${var.name}-control-plane"
  internal                         = var.internal
  load_balancer_type               = "network"
  ip_address_type                  = "ipv4"
  subnets                          = var.balancer_subnets
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection

  tags = var.tags
}

resource "aws_lb_target_group" "control_plane" {
  for_each = local.ports

  name        = "${var.name}-${each.key}"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "TCP"
  port        = each.value
  # The control plane counts failed credentials by the address that they come from.
  preserve_client_ip = "true"
  # It sends relays elsewhere itself when it stops; no new ones must come meanwhile.
  deregistration_delay = 15

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  tags = var.tags
}

resource "aws_lb_listener" "control_plane" {
  for_each = local.ports

  load_balancer_arn = aws_lb.control_plane.arn
  protocol          = "TCP"
  port              = each.value

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.control_plane[each.key].arn
  }

  tags = var.tags
}

resource "aws_route53_record" "control_plane" {
  count = var.zone_id != "" ? 1 : 0

  zone_id = var.zone_id
  name    = var.server_names[0]
  type    = "A"

  alias {
    name                   = aws_lb.control_plane.dns_name
    zone_id                = aws_lb.control_plane.zone_id
    evaluate_target_health = false
  }
}
