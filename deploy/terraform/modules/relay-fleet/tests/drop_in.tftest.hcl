# A file for the vendor's module with every variable set, and the balancer while workloads move.
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
  name                        = "orchestrator"
  vpc_id                      = "vpc-1"
  access_key                  = "01234567-89ab-cdef-0123-456789abcdef"
  subnets                     = ["subnet-a", "subnet-c"]
  orchestrator_port           = 6667
  agent_image                 = "quay.io/sysdig/orchestrator-agent:5.4.0"
  collector_host              = "ingest.us4.sysdig.com"
  collector_port              = "6443"
  agent_tags                  = "env:production,team:payments"
  check_collector_certificate = "true"
  assign_public_ip            = true
  tags                        = { CostCenter = "1234" }
  default_tags                = { Application = "sysdig", Module = "fargate-orchestrator-agent" }
  lb_name                     = "orchestrator"
  # The text between the lines is no certificate; ours only go through.
  collector_ca_certificate  = { type = "base64", value = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", path = "/ssl/collector_cert.pem" }
  collector_configuration   = { ca_certificate = "/ssl/collector_cert.pem" }
  http_proxy_ca_certificate = { type = "base64", value = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", path = "/ssl/proxy_cert.pem" }
  http_proxy_configuration = {
    proxy_host             = "proxy.internal"
    proxy_port             = "3128"
    proxy_user             = "relay"
    proxy_password         = "the password"
    ssl                    = "true"
    ssl_verify_certificate = "true"
    ca_certificate         = "/ssl/proxy_cert.pem"
  }
  autoscaling = {
    target_metric      = "ECSServiceAverageMemoryUtilization"
    target_value       = "75"
    max_capacity       = "4"
    scale_in_cooldown  = "300"
    scale_out_cooldown = "60"
  }
  agent_log_level    = "warning"
  agent_extra_conf   = "log:\n  file_priority: error\nsecurity:\n  enabled: false\n"
  cpu                = "2048"
  memory             = "8192"
  log_retention_days = "90"
  runtime_platform   = { cpu_architecture = "ARM64" }
}

run "every_variable_of_the_vendor_plans" {
  command = plan

  # The vendor's own image is told of, and replaced.
  expect_failures = [check.vendors_image]
}

run "every_variable_of_the_vendor_arrives" {
  variables {
    agent_image = "registry.example/ekiden/relay@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  }

  assert {
    condition = { for variable in jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment : variable.name => variable.value if !startswith(variable.name, "EKIDEN_") && variable.name != "ADDITIONAL_CONF" } == {
      COLLECTOR                       = "ingest.us4.sysdig.com"
      COLLECTOR_PORT                  = "6443"
      CHECK_CERTIFICATE               = "true"
      TAGS                            = "env:production,team:payments"
      COLLECTOR_CA_CERTIFICATE        = "/ssl/collector_cert.pem"
      COLLECTOR_CA_CERTIFICATE_TYPE   = "base64"
      COLLECTOR_CA_CERTIFICATE_VALUE  = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
      COLLECTOR_CA_CERTIFICATE_PATH   = "/ssl/collector_cert.pem"
      HTTP_PROXY_CA_CERTIFICATE_TYPE  = "base64"
      HTTP_PROXY_CA_CERTIFICATE_VALUE = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"
      HTTP_PROXY_CA_CERTIFICATE_PATH  = "/ssl/proxy_cert.pem"
      PROXY_HOST                      = "proxy.internal"
      PROXY_PORT                      = "3128"
      PROXY_USER                      = "relay"
      PROXY_SSL                       = "true"
      PROXY_SSL_VERIFY_CERTIFICATE    = "true"
      PROXY_CA_CERTIFICATE            = "/ssl/proxy_cert.pem"
    }
    error_message = "the container gets ${aws_ecs_task_definition.relay.container_definitions}"
  }

  assert {
    condition = [for variable in jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment : variable.value if variable.name == "ADDITIONAL_CONF"] == [
      "agentino_port: 6667\nlog:\n  console_priority: \"warning\"\n  file_priority: \"error\"\nsecurity:\n  enabled: false\n"
    ]
    error_message = "the vendor's configuration is ${aws_ecs_task_definition.relay.container_definitions}"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].secrets[*].name == ["ACCESS_KEY", "PROXY_PASSWORD"] && !strcontains(aws_ecs_task_definition.relay.container_definitions, "the password")
    error_message = "key and password do not come from secrets alone"
  }

  assert {
    condition     = output.orchestrator_host == "relay.orchestrator.internal" && output.orchestrator_port == 6667 && output.orchestrator_security_group_id == "sg-made"
    error_message = "an output of the vendor's is missing or wrong"
  }

  assert {
    condition     = aws_ecs_service.scaled[0].network_configuration[0].assign_public_ip && aws_ecs_task_definition.relay.runtime_platform[0].cpu_architecture == "ARM64"
    error_message = "assign_public_ip or runtime_platform went nowhere"
  }

  assert {
    condition     = aws_ecs_cluster.fleet.tags == tomap({ Application = "sysdig", CostCenter = "1234", Module = "fargate-orchestrator-agent" })
    error_message = "the tags are ${jsonencode(aws_ecs_cluster.fleet.tags)}"
  }
}

run "a_balancer_stands_beside_cloud_map" {
  variables {
    agent_image = "registry.example/ekiden/relay@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    enable_nlb  = true
  }

  assert {
    condition     = output.orchestrator_host == run.every_variable_of_the_vendor_arrives.orchestrator_host && output.orchestrator_port == 6667
    error_message = "the balancer changed the outputs that workloads are made with"
  }

  assert {
    condition     = output.nlb_host == "made.elb.ap-northeast-1.amazonaws.com" && aws_lb.relay[0].name == "orchestrator" && aws_lb.relay[0].internal
    error_message = "there is no balancer of that name inside of the VPC"
  }

  assert {
    condition     = [for balancer in aws_ecs_service.scaled[0].load_balancer : balancer.container_port] == [6667] && length(aws_ecs_service.scaled[0].service_registries) == 1
    error_message = "relays are not in both, the balancer and Cloud Map"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.from_balancer[0].to_port == 6667
    error_message = "the balancer does not reach relays"
  }
}
