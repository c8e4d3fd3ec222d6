# Namespaces and services, found or made.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  name           = "tokyo"
  vpc_id         = "vpc-1"
  service_name   = "relay"
  namespace_name = "telemetry.internal"
}

run "a_namespace_forgets_soon_what_is_not_there" {
  assert {
    condition     = jsondecode(aws_cloudformation_stack.namespace[0].template_body).Resources.Namespace.Properties.Properties.DnsProperties.SOA.TTL == 15
    error_message = "that a fleet is not there yet is remembered for five minutes"
  }

  assert {
    condition     = aws_service_discovery_service.relays["relay"].dns_config[0].namespace_id == "ns-made"
    error_message = "the service is in another namespace"
  }
}

run "a_service_can_be_what_relays_need" {
  assert {
    condition = (
      aws_service_discovery_service.relays["relay"].dns_config[0].routing_policy == "MULTIVALUE" &&
      [for record in aws_service_discovery_service.relays["relay"].dns_config[0].dns_records : "${record.type} ${record.ttl}"] == ["A 10"]
    )
    error_message = "answers hold one relay, or are kept for longer than ten seconds"
  }

  assert {
    condition     = length(aws_service_discovery_service.relays["relay"].health_check_custom_config) == 1
    error_message = "custom health can never be added"
  }

  assert {
    condition     = aws_service_discovery_service.relays["relay"].force_destroy
    error_message = "the record of a killed relay keeps the service from going"
  }
}

run "a_namespace_that_is_there_is_taken" {
  variables {
    namespace_id = "ns-found"
    cell_count   = 3
  }

  assert {
    condition     = length(aws_cloudformation_stack.namespace) == 0 && output.namespace_id == "ns-found" && output.hosted_zone_id == "ZFOUND"
    error_message = "another namespace was made beside it"
  }

  assert {
    condition     = output.services[*].dns_name == ["relay.telemetry.internal", "cell-1.relay.telemetry.internal", "cell-2.relay.telemetry.internal", "cell-3.relay.telemetry.internal"]
    error_message = "the services are ${jsonencode(output.services)}"
  }
}

run "another_namespace_of_that_name_is_refused" {
  command = plan

  variables {
    namespace_id = "ns-other"
  }

  expect_failures = [data.aws_service_discovery_dns_namespace.found[0]]
}

run "relays_of_another_account_register_by_a_role" {
  variables {
    registrar_role_arns   = ["arn:aws:iam::111122223333:role/relay"]
    registrar_external_id = "0123456789abcdef"
  }

  assert {
    condition     = jsondecode(aws_iam_role.registrar[0].assume_role_policy).Statement[0].Condition == { StringEquals = { "sts:ExternalId" = "0123456789abcdef" } }
    error_message = "who has no external id is let in"
  }

  assert {
    condition     = jsondecode(aws_iam_role.registrar[0].assume_role_policy).Statement[0].Principal == { AWS = ["arn:aws:iam::111122223333:role/relay"] }
    error_message = "others than the relays are let in"
  }
}

run "a_role_without_an_external_id_is_refused" {
  command = plan

  variables {
    registrar_role_arns = ["arn:aws:iam::111122223333:role/relay"]
  }

  expect_failures = [var.registrar_external_id]
}
