# What of the vendor's module others may know by name or id, under the addresses that it has there
# (https://github.com/sysdiglabs/terraform-aws-fargate-orchestrator-agent). The rest goes when `source` changes.
variable "vpc_id" {
  type = string
}

variable "subnets" {
  type = list(string)
}

resource "aws_security_group" "orchestrator_agent" {
  description = "Allow agentino to connect"
  vpc_id      = var.vpc_id
}

resource "aws_lb" "orchestrator_agent" {
  name               = "orchestrator"
  internal           = true
  load_balancer_type = "network"
  ip_address_type    = "ipv4"
  subnets            = var.subnets
}

resource "aws_lb_target_group" "orchestrator_agent" {
  port                 = 6667
  protocol             = "TCP"
  target_type          = "ip"
  deregistration_delay = 60
  vpc_id               = var.vpc_id
}

resource "aws_lb_listener" "orchestrator_agent" {
  load_balancer_arn = aws_lb.orchestrator_agent.arn
  port              = 6667
  protocol          = "TCP"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.orchestrator_agent.arn
  }
}

output "orchestrator_host" {
  value = aws_lb.orchestrator_agent.dns_name
}

output "orchestrator_security_group_id" {
  value = aws_security_group.orchestrator_agent.id
}
