output "endpoint" {
  description = "What relays take as `control_plane_endpoint`."
  value       = "https://${var.server_names[0]}:${local.relay_port}"
}

output "operator_endpoint" {
  description = "What `ekidenctl` takes as `--control-plane`."
  value       = "https://${var.server_names[0]}:${local.operator_port}"
}

output "internal_endpoint" {
  description = "The same for relays of this VPC, by Cloud Map and without the load balancer."
  value       = "https://${local.internal_name}:${local.relay_port}"
}

output "balancer_dns_name" {
  description = "Name of the load balancer, for a record of the first of `server_names` where `zone_id` is empty."
  value       = aws_lb.control_plane.dns_name
}

output "master_key_arn" {
  description = "KMS key that seals access keys. A database without it is lost."
  value       = aws_kms_key.master.arn
}

output "database_url_secret_arn" {
  description = "Secret with the database's URL."
  value       = aws_secretsmanager_secret.database_url.arn
}

output "database_identifier" {
  description = "The database in RDS."
  value       = aws_db_instance.database.identifier
}

output "task_security_group_id" {
  description = "Security group of the replicas."
  value       = aws_security_group.tasks.id
}

output "task_role_arn" {
  description = "Role of the replicas."
  value       = aws_iam_role.task.arn
}

output "cluster_name" {
  description = "The ECS cluster."
  value       = aws_ecs_cluster.control_plane.name
}

output "task_definition_arn" {
  description = "The task definition, for `aws ecs run-task` with the command `ca`, say."
  value       = aws_ecs_task_definition.control_plane.arn
}

output "log_group_name" {
  description = "The CloudWatch log group; the first start prints the first operator token there, once."
  value       = aws_cloudwatch_log_group.control_plane.name
}

output "trust_domain" {
  description = "What relay fleets take as `trust_domain`."
  value       = var.trust_domain
}
