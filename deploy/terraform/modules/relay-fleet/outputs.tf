output "orchestrator_host" {
  description = "Name that workloads' agents connect to, in Cloud Map; the same with and without `enable_nlb`."
  value       = local.dns_name
}

output "orchestrator_port" {
  description = "Port that they connect to."
  value       = var.orchestrator_port
}

output "orchestrator_security_group_id" {
  description = "Security group of the relays."
  value       = aws_security_group.relay.id
}

output "nlb_host" {
  description = "Name of the load balancer; empty without `enable_nlb`."
  value       = join("", aws_lb.relay[*].dns_name)
}

output "otlp_endpoint" {
  description = "What workloads set `OTEL_EXPORTER_OTLP_ENDPOINT` to, where the fleet's settings listen for OTLP."
  value       = "http://${local.dns_name}:4317"
}

output "task_role_arn" {
  description = "The relays' role: what `ekidenctl enrollment-rule create … --role` takes."
  value       = aws_iam_role.task.arn
}

output "discovery" {
  description = "The fleet's discovery settings for the control plane: what `ekidenctl fleet create` takes for Cloud Map."
  value = {
    service_id  = local.services[0].id
    dns_name    = local.dns_name
    ttl         = var.dns_ttl
    mode        = local.discovery_mode
    role_arn    = var.namespace_role_arn
    external_id = var.namespace_external_id
    cells       = [for service in slice(local.services, 1, length(local.services)) : { service_id = service.id, dns_name = service.dns_name }]
  }
}

output "image" {
  description = "The image that runs."
  value       = local.image
}

output "cluster_name" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.fleet.name
}

output "log_group_name" {
  description = "The CloudWatch log group of the relays."
  value       = aws_cloudwatch_log_group.relay.name
}
