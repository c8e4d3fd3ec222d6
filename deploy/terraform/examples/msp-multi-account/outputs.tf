output "operator_endpoint" {
  description = "Where `ekidenctl` connects."
  value       = module.control_plane.operator_endpoint
}

output "balancer_dns_name" {
  description = "What the control plane's name must lead to."
  value       = module.control_plane.balancer_dns_name
}

output "log_group_name" {
  description = "Log group in which the first start printed the first operator token."
  value       = module.control_plane.log_group_name
}

output "task_role_arn" {
  description = "Role for the enrollment rule."
  value       = module.relays.task_role_arn
}

output "discovery" {
  description = "Discovery settings of the fleet."
  value       = module.relays.discovery
}

output "orchestrator_host" {
  description = "What the customer's agents connect to."
  value       = module.relays.orchestrator_host
}
