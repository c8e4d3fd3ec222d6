# What is wrong in the rest, and does not go together.
mock_provider "aws" {
  source = "./tests/mocks"

  override_data {
    target = data.aws_subnet.relay[0]
    values = { vpc_id = "vpc-1", availability_zone = "ap-northeast-1a" }
  }

  override_data {
    target = data.aws_subnet.relay[1]
    values = { vpc_id = "vpc-1", availability_zone = "ap-northeast-1c" }
  }
}

variables {
  vpc_id     = "vpc-1"
  subnets    = ["subnet-a", "subnet-c"]
  access_key = "01234567-89ab-cdef-0123-456789abcdef"
}

run "a_namespace_without_its_name" {
  command = plan

  variables {
    namespace_id = "ns-1"
  }

  expect_failures = [var.namespace_name]
}

run "a_namespace_id_that_is_none" {
  command = plan

  variables {
    namespace_id   = "Z123"
    namespace_name = "telemetry.internal"
  }

  expect_failures = [var.namespace_id]
}

run "a_namespace_of_one_label" {
  command = plan

  variables {
    namespace_name = "internal"
  }

  expect_failures = [var.namespace_name]
}

run "an_unknown_mode" {
  command = plan

  variables {
    discovery_mode = "dns"
  }

  expect_failures = [var.discovery_mode]
}

run "relays_that_register_with_nobody_to_clean_up" {
  command = plan

  variables {
    discovery_mode = "self"
  }

  expect_failures = [var.discovery_mode]
}

run "cells_without_a_control_plane" {
  command = plan

  variables {
    cell_count = 2
  }

  expect_failures = [var.cell_count]
}

run "a_namespace_role_without_services" {
  command = plan

  variables {
    namespace_role_arn = "arn:aws:iam::444455556666:role/registrar"
  }

  expect_failures = [var.namespace_role_arn]
}

run "a_control_plane_without_a_fleet" {
  command = plan

  variables {
    control_plane_endpoint = "https://ekiden.example:8443"
  }

  expect_failures = [var.control_plane_endpoint]
}

run "a_control_plane_in_plain_text" {
  command = plan

  variables {
    control_plane_endpoint = "http://ekiden.example:8443"
    tenant                 = "acme"
    fleet                  = "tokyo"
  }

  expect_failures = [var.control_plane_endpoint]
}

run "a_private_key_among_the_roots" {
  command = plan

  variables {
    control_plane_ca_pem = "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----"
  }

  expect_failures = [var.control_plane_ca_pem]
}

run "a_tenant_that_is_no_id" {
  command = plan

  variables {
    tenant = "Acme Ltd"
  }

  expect_failures = [var.tenant]
}

run "a_secret_in_plain_environment" {
  command = plan

  variables {
    extra_environment = { ACCESS_KEY = "key" }
  }

  expect_failures = [var.extra_environment]
}

run "scaling_by_an_unknown_metric" {
  command = plan

  variables {
    autoscaling = { target_metric = "CPU", target_value = "50", max_capacity = "4", scale_in_cooldown = "", scale_out_cooldown = "" }
  }

  expect_failures = [var.autoscaling]
}

run "scaling_to_fewer_than_there_are" {
  command = plan

  variables {
    autoscaling = { target_metric = "ECSServiceAverageCPUUtilization", target_value = "50", max_capacity = "1", scale_in_cooldown = "", scale_out_cooldown = "" }
  }

  expect_failures = [var.autoscaling]
}

run "scaling_to_words" {
  command = plan

  variables {
    autoscaling = { target_metric = "ECSServiceAverageCPUUtilization", target_value = "half", max_capacity = "4", scale_in_cooldown = "", scale_out_cooldown = "" }
  }

  expect_failures = [var.autoscaling]
}

run "a_proxy_without_a_port" {
  command = plan

  variables {
    http_proxy_configuration = { proxy_host = "proxy", proxy_port = "", proxy_user = "", proxy_password = "", ssl = "", ssl_verify_certificate = "", ca_certificate = "" }
  }

  expect_failures = [var.http_proxy_configuration]
}

run "a_ca_that_is_no_pem" {
  command = plan

  variables {
    collector_ca_certificate = { type = "base64", value = "bm90IGEgY2VydGlmaWNhdGU=", path = "" }
  }

  expect_failures = [var.collector_ca_certificate]
}

run "a_name_that_aws_would_not_take" {
  command = plan

  variables {
    name = "orchestrator of acme"
  }

  expect_failures = [var.name]
}

run "a_listener_port_twice" {
  command = plan

  variables {
    listener_ports = [6667]
  }

  expect_failures = [var.listener_ports]
}

run "a_subnet_of_another_vpc" {
  command = plan

  variables {
    vpc_id = "vpc-2"
  }

  expect_failures = [data.aws_subnet.relay[0], data.aws_subnet.relay[1]]
}
