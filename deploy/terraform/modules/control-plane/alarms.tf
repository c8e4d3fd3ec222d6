locals {
  balancer_dimensions = { for port, group in aws_lb_target_group.control_plane : port => {
    LoadBalancer = aws_lb.control_plane.arn_suffix
    TargetGroup  = group.arn_suffix
  } }
  service_dimensions  = { ClusterName = aws_ecs_cluster.control_plane.name, ServiceName = aws_ecs_service.control_plane.name }
  database_dimensions = { DBInstanceIdentifier = aws_db_instance.database.identifier }

  alarms = {
    replicas-few = {
      description = "Fewer replicas than asked for answer relays."
      namespace   = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = local.balancer_dimensions["relays"]
      statistic   = "Minimum", below = true, threshold = var.desired_count, minutes = 5, missing = "breaching"
    }
    operators-unserved = {
      description = "No replica answers operators."
      namespace   = "AWS/NetworkELB", metric = "HealthyHostCount", dimensions = local.balancer_dimensions["operators"]
      statistic   = "Maximum", below = true, threshold = 1, minutes = 2, missing = "breaching"
    }
    replicas-busy = {
      description = "Replicas use most of their CPU: settings will reach relays late."
      namespace   = "AWS/ECS", metric = "CPUUtilization", dimensions = local.service_dimensions
      statistic   = "Average", below = false, threshold = 80, minutes = 10, missing = "notBreaching"
    }
    replicas-full = {
      description = "Replicas use most of their memory."
      namespace   = "AWS/ECS", metric = "MemoryUtilization", dimensions = local.service_dimensions
      statistic   = "Maximum", below = false, threshold = 85, minutes = 5, missing = "notBreaching"
    }
    database-busy = {
      description = "The database uses most of its CPU."
      namespace   = "AWS/RDS", metric = "CPUUtilization", dimensions = local.database_dimensions
      statistic   = "Average", below = false, threshold = 80, minutes = 10, missing = "missing"
    }
    database-disk = {
      description = "The database has less free than a tenth of its first storage, and does not grow."
      namespace   = "AWS/RDS", metric = "FreeStorageSpace", dimensions = local.database_dimensions
      statistic   = "Minimum", below = true, threshold = var.database_storage_gib * 1073741824 / 10, minutes = 5, missing = "missing"
    }
    database-connections = {
      description = "More connections than the replicas' pools and one more deployment of them open."
      namespace   = "AWS/RDS", metric = "DatabaseConnections", dimensions = local.database_dimensions
      statistic   = "Maximum", below = false, threshold = (24 + 2) * var.desired_count * 2, minutes = 5, missing = "missing"
    }
    database-memory = {
      description = "The database has little memory left."
      namespace   = "AWS/RDS", metric = "FreeableMemory", dimensions = local.database_dimensions
      statistic   = "Minimum", below = true, threshold = 134217728, minutes = 10, missing = "missing"
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "control_plane" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.below ? "LessThanThreshold" : "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = each.value.missing
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  tags = var.tags
}
