# Terraform cannot be told by a variable to leave a count alone. So there are two services of which one is made: this one
# has as many relays as `desired_count` says, the other as many as its scaling wants.
locals {
  scaled = var.autoscaling.target_metric != ""

  registry_arns     = local.discovery_mode == "ecs" ? [local.services[0].arn] : []
  target_group_arns = aws_lb_listener.relay[*].default_action[0].target_group_arn
}

resource "aws_ecs_cluster" "fleet" {
  name = "${var.name}-relays"

  setting {
    name  = "containerInsights"
    value = var.container_insights
  }

  tags = local.tags
}

resource "aws_ecs_service" "relay" {
  count = local.scaled ? 0 : 1

  name                               = "relay"
  cluster                            = aws_ecs_cluster.fleet.id
  task_definition                    = aws_ecs_task_definition.relay.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [aws_security_group.relay.id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "service_registries" {
    for_each = local.registry_arns
    content {
      registry_arn = service_registries.value
    }
  }

  dynamic "load_balancer" {
    for_each = local.target_group_arns
    content {
      target_group_arn = load_balancer.value
      container_name   = "relay"
      container_port   = var.orchestrator_port
    }
  }

  # A relay needs its rights from its first to its last second.
  depends_on = [aws_iam_role_policy.registration, aws_iam_role_policy.identity, aws_iam_role_policy.execution]

  tags = local.tags
}

resource "aws_ecs_service" "scaled" {
  count = local.scaled ? 1 : 0

  # Another name: both stand for a moment when scaling is switched on or off.
  name                               = "relay-scaled"
  cluster                            = aws_ecs_cluster.fleet.id
  task_definition                    = aws_ecs_task_definition.relay.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [aws_security_group.relay.id]
    assign_public_ip = var.assign_public_ip
  }

  dynamic "service_registries" {
    for_each = local.registry_arns
    content {
      registry_arn = service_registries.value
    }
  }

  dynamic "load_balancer" {
    for_each = local.target_group_arns
    content {
      target_group_arn = load_balancer.value
      container_name   = "relay"
      container_port   = var.orchestrator_port
    }
  }

  depends_on = [aws_iam_role_policy.registration, aws_iam_role_policy.identity, aws_iam_role_policy.execution]

  tags = local.tags

  lifecycle {
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "relay" {
  count = local.scaled ? 1 : 0

  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.fleet.name}/${aws_ecs_service.scaled[0].name}"
  min_capacity       = var.desired_count
  max_capacity       = tonumber(var.autoscaling.max_capacity)

  tags = local.tags
}

resource "aws_appautoscaling_policy" "relay" {
  count = local.scaled ? 1 : 0

  name               = "${var.name}-relays"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.relay[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.relay[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.relay[0].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = tonumber(var.autoscaling.target_value)
    scale_in_cooldown  = var.autoscaling.scale_in_cooldown == "" ? 300 : tonumber(var.autoscaling.scale_in_cooldown)
    scale_out_cooldown = var.autoscaling.scale_out_cooldown == "" ? 300 : tonumber(var.autoscaling.scale_out_cooldown)

    predefined_metric_specification {
      predefined_metric_type = var.autoscaling.target_metric
    }
  }
}
