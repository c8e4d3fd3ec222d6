output "orchestrator_host" {
  description = "What workloads' agents connect to."
  value       = module.relays.orchestrator_host
}

output "orchestrator_port" {
  description = "And its port."
  value       = module.relays.orchestrator_port
}

output "workload_security_group_id" {
  description = "Group that workloads need."
  value       = aws_security_group.workloads.id
}

output "image" {
  description = "What runs."
  value       = module.relays.image
}
