output "services" {
  description = "The fleet's service, then its cells: `{id, arn, dns_name}` each."
  value = [
    for service in local.services : {
      id       = service.id
      arn      = service.arn
      dns_name = "${service.name}.${var.namespace_name}"
    }
  ]
}

output "namespace_id" {
  description = "Id of the namespace."
  value       = local.namespace_id
}

output "namespace_name" {
  description = "DNS name of the namespace."
  value       = var.namespace_name
}

output "hosted_zone_id" {
  description = "Id of the namespace's private zone in Route 53."
  value       = local.hosted_zone_id
}

output "registration_policy" {
  description = "IAM policy that allows to register in these services and no others."
  value       = local.registration_policy
}

output "registrar_role_arn" {
  description = "Role for relays of other accounts; empty without `registrar_role_arns`."
  value       = join("", aws_iam_role.registrar[*].arn)
}
