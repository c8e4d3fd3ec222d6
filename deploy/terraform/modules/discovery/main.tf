data "aws_partition" "current" {}

locals {
  # Not by the id where the caller knows better: an id that is known only after apply decides no count.
  create = var.create_namespace != null ? var.create_namespace : var.namespace_id == ""

  namespace_id   = local.create ? aws_cloudformation_stack.namespace[0].outputs["Id"] : data.aws_service_discovery_dns_namespace.found[0].id
  hosted_zone_id = local.create ? aws_cloudformation_stack.namespace[0].outputs["HostedZoneId"] : data.aws_service_discovery_dns_namespace.found[0].hosted_zone

  cells    = [for number in range(1, var.cell_count + 1) : "cell-${number}.${var.service_name}"]
  services = [for name in concat([var.service_name], local.cells) : aws_service_discovery_service.relays[name]]
}

# A stack, because the provider's own resource for namespaces cannot set the TTL of the SOA record, and Route 53 lets
# nobody but Cloud Map edit that record.
resource "aws_cloudformation_stack" "namespace" {
  count = local.create ? 1 : 0

  name = "namespace-${replace(var.name, "_", "-")}"
  template_body = jsonencode({
    AWSTemplateFormatVersion = "2010-09-09"
    Description              = "The private DNS namespace in which relays are found."
    Resources = {
      Namespace = {
        Type = "AWS::ServiceDiscovery::PrivateDnsNamespace"
        Properties = {
          Name       = var.namespace_name
          Vpc        = var.vpc_id
          Properties = { DnsProperties = { SOA = { TTL = var.soa_ttl } } }
        }
      }
    }
    Outputs = {
      Id           = { Value = { "Fn::GetAtt" = ["Namespace", "Id"] } }
      HostedZoneId = { Value = { "Fn::GetAtt" = ["Namespace", "HostedZoneId"] } }
    }
  })

  tags = var.tags
}

data "aws_service_discovery_dns_namespace" "found" {
  count = local.create ? 0 : 1

  # The id takes part so that a namespace which is made in the same apply is looked for after it was made.
  name = split("|", "${var.namespace_name}|${var.namespace_id}")[0]
  type = "DNS_PRIVATE"

  lifecycle {
    postcondition {
      condition     = var.namespace_id == "" || self.id == var.namespace_id
      error_message = "namespace_id: the namespace ${var.namespace_name} is ${self.id}, not ${var.namespace_id}. Give the id and the name of the same one."
    }
  }
}

resource "aws_service_discovery_service" "relays" {
  for_each = toset(concat([var.service_name], local.cells))

  name        = each.key
  description = "Relays of ${var.name}"

  dns_config {
    namespace_id   = local.namespace_id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = var.dns_ttl
    }
  }

  # Cannot be added to a service later. The threshold is always 1, whatever is written, and must be written.
  health_check_custom_config {
    failure_threshold = 1
  }

  # A relay that was killed leaves its record; the service must be able to go all the same.
  force_destroy = true

  tags = var.tags
}
