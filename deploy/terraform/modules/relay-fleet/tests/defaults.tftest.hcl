# What a fleet is when nothing but the required is said.
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

run "two_relays_are_replaced_without_a_gap" {
  assert {
    condition     = aws_ecs_service.relay[0].desired_count == 2
    error_message = "one relay alone cannot be replaced without a gap"
  }

  assert {
    condition     = aws_ecs_service.relay[0].deployment_minimum_healthy_percent == 100 && aws_ecs_service.relay[0].availability_zone_rebalancing == "ENABLED"
    error_message = "a deployment may take relays away, or leave them in one zone"
  }

  assert {
    condition     = aws_ecs_service.relay[0].deployment_circuit_breaker[0].enable && aws_ecs_service.relay[0].deployment_circuit_breaker[0].rollback
    error_message = "a bad deployment is not rolled back"
  }

  assert {
    condition     = length(aws_lb.relay) == 0 && length(aws_ecs_service.relay[0].load_balancer) == 0
    error_message = "there is a load balancer that nobody asked for"
  }
}

run "a_task_is_small_and_closed" {
  assert {
    condition     = aws_ecs_task_definition.relay.cpu == "256" && aws_ecs_task_definition.relay.memory == "512"
    error_message = "a task is larger than the smallest"
  }

  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].readonlyRootFilesystem &&
      jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].user == "65532:65532" &&
      jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].linuxParameters.capabilities.drop == ["ALL"]
    )
    error_message = "the container can write to its root, is root, or has capabilities"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].mountPoints[0].containerPath == "/var/lib/ekiden-relay"
    error_message = "the relay has no folder for its state"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].ulimits[0] == { name = "nofile", softLimit = 65535, hardLimit = 65535 }
    error_message = "the relay runs out of files long before Fargate does"
  }

  assert {
    condition     = slice(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].healthCheck.command, 0, 2) == ["CMD", "/ekiden-relay"]
    error_message = "the health check asks for a shell that the image does not have"
  }

  assert {
    condition     = aws_ecs_task_definition.relay.task_role_arn != "" && aws_iam_role.task.name_prefix != aws_iam_role.execution.name_prefix
    error_message = "the relay and what starts it have one role"
  }

  assert {
    condition     = aws_cloudwatch_log_group.relay.retention_in_days == 30
    error_message = "logs are kept for longer than said"
  }
}

run "the_relay_knows_how_long_it_has" {
  variables {
    stop_timeout = 100
    dns_ttl      = 5
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].stopTimeout == 100
    error_message = "ECS does not know the stop timeout"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment, { name = "EKIDEN_STOP_TIMEOUT", value = "100" })
    error_message = "the relay does not know the stop timeout"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment, { name = "EKIDEN_CLOUD_MAP_TTL", value = "5" })
    error_message = "the relay does not know the TTL of its record"
  }
}

run "the_image_is_a_digest" {
  assert {
    condition     = output.image == "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/ekiden/relay@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    error_message = "the image is ${output.image}"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement :
      contains(statement.Action, "ecr:BatchGetImage") && statement.Resource == ["arn:aws:ecr:ap-northeast-1:111122223333:repository/ekiden/relay"]
    ])
    error_message = "the image cannot be pulled, or others can, too"
  }
}

run "a_plain_key_is_nowhere_but_in_its_secret" {
  assert {
    condition     = !strcontains(aws_ecs_task_definition.relay.container_definitions, "01234567-89ab")
    error_message = "the key stands in the task definition"
  }

  assert {
    condition = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].secrets == [
      { name = "ACCESS_KEY", valueFrom = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:made-AbCdEf" }
    ]
    error_message = "the container does not get the key from its secret"
  }

  assert {
    condition     = aws_secretsmanager_secret_version.access_key[0].secret_string == null
    error_message = "the key is in the state"
  }
}

run "a_new_key_is_noticed" {
  variables {
    access_key = "another"
  }

  assert {
    condition     = nonsensitive(aws_secretsmanager_secret_version.access_key[0].secret_string_wo_version) == parseint(substr(sha256("another"), 0, 8), 16)
    error_message = "another key has the version of the one before, so that AWS never gets it"
  }
}

run "a_key_in_a_secret_stays_there" {
  variables {
    access_key = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:vendor-AbCdEf:sysdig::"
  }

  assert {
    condition     = length(aws_secretsmanager_secret.access_key) == 0
    error_message = "the ARN of a secret was taken for a key"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].secrets[0].valueFrom == "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:vendor-AbCdEf:sysdig::"
    error_message = "the container does not get the key from the secret named"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.execution.policy).Statement :
      statement.Action == ["secretsmanager:GetSecretValue"] && statement.Resource == ["arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:vendor-AbCdEf"]
    ])
    error_message = "ECS may not read the secret, or may read others"
  }
}

run "the_vpc_may_come_in_and_the_world_may_not" {
  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.vpc : rule.cidr_ipv4 == "10.1.0.0/16"]) && keys(aws_vpc_security_group_ingress_rule.vpc) == ["4317", "4318", "6667"]
    error_message = "others than the VPC come in, or to other ports"
  }
}

run "named_groups_come_in_alone" {
  variables {
    allowed_security_group_ids = ["sg-workloads"]
  }

  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.vpc) == 0
    error_message = "the VPC still comes in"
  }

  assert {
    condition     = [for rule in aws_vpc_security_group_ingress_rule.groups : "${rule.referenced_security_group_id} ${rule.from_port}"] == ["sg-workloads 4317", "sg-workloads 4318", "sg-workloads 6667"]
    error_message = "not these groups on these ports come in"
  }
}

run "relays_go_out_where_they_must" {
  variables {
    http_proxy_configuration = {
      proxy_host = "proxy.internal", proxy_port = "3128", proxy_user = "", proxy_password = "", ssl = "", ssl_verify_certificate = "", ca_certificate = ""
    }
    control_plane_endpoint = "https://ekiden.example:8443"
    tenant                 = "acme"
    fleet                  = "tokyo"
  }

  assert {
    condition     = sort(distinct([for rule in aws_vpc_security_group_egress_rule.relay : tostring(rule.to_port)])) == sort(["3128", "443", "6443", "8443"])
    error_message = "relays may go out elsewhere, or not where they must"
  }
}
