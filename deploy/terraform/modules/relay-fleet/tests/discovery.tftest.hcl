# Who registers relays where, and what their role may do.
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
  vpc_id                 = "vpc-1"
  subnets                = ["subnet-a", "subnet-c"]
  control_plane_endpoint = "https://ekiden.example:8443"
  tenant                 = "acme"
  fleet                  = "tokyo"
}

run "with_a_control_plane_relays_register_themselves" {
  assert {
    condition     = length(aws_ecs_service.relay[0].service_registries) == 0 && output.discovery.mode == "self"
    error_message = "ECS registers relays before they can deliver"
  }

  assert {
    condition = anytrue([for statement in jsondecode(aws_iam_role_policy.registration.policy).Statement :
      contains(statement.Action, "servicediscovery:RegisterInstance") && statement.Resource == ["arn:aws:servicediscovery:ap-northeast-1:111122223333:service/srv-made"]
    ])
    error_message = "relays may not register, or may elsewhere, too"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_iam_role_policy.registration.policy).Statement :
      statement.Resource == ["arn:aws:route53:::hostedzone/ZMADE"] if contains(statement.Action, "route53:ChangeResourceRecordSets")
    ])
    error_message = "relays may change other zones"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.identity[0].policy).Statement[0].Condition == { "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = ["spiffe://ekiden.internal"] } }
    error_message = "relays may prove themselves to others than the control plane"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment, { name = "EKIDEN_FLEET", value = "tenants/acme/fleets/tokyo" })
    error_message = "relays do not know their fleet"
  }

  assert {
    condition     = jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].secrets == []
    error_message = "relays get a secret that they do not need"
  }

  assert {
    condition     = length([for variable in jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment : variable if startswith(variable.name, "EKIDEN_CLOUD_MAP")]) == 0
    error_message = "what is a setting of the fleet is in the environment"
  }
}

run "without_one_ecs_registers_and_the_relay_leaves_earlier" {
  variables {
    control_plane_endpoint = ""
    tenant                 = ""
    fleet                  = ""
    access_key             = "key"
  }

  assert {
    condition     = [for registry in aws_ecs_service.relay[0].service_registries : registry.registry_arn] == ["arn:aws:servicediscovery:ap-northeast-1:111122223333:service/srv-made"]
    error_message = "nobody would remove the record of a relay that was killed"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment, { name = "EKIDEN_CLOUD_MAP_SERVICE_ID", value = "srv-made" })
    error_message = "the relay does not know which record to take out before it stops"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.relay.container_definitions)[0].environment, { name = "EKIDEN_CLOUD_MAP_DNS_NAME", value = "relay.sysdig-fargate-orchestrator.internal" })
    error_message = "the relay cannot see whether DNS has forgotten it"
  }

  assert {
    condition     = length(aws_iam_role_policy.identity) == 0
    error_message = "relays may prove themselves to a control plane that they do not have"
  }
}

run "in_ecs_mode_relays_may_leave_and_not_register" {
  variables {
    discovery_mode = "ecs"
  }

  assert {
    condition     = !strcontains(aws_iam_role_policy.registration.policy, "servicediscovery:RegisterInstance")
    error_message = "relays may register where ECS does"
  }

  assert {
    condition     = strcontains(aws_iam_role_policy.registration.policy, "servicediscovery:DeregisterInstance")
    error_message = "relays cannot leave before they stop"
  }
}

run "cells_have_names_of_their_own" {
  variables {
    cell_count = 2
  }

  assert {
    condition     = output.discovery.cells[*].dns_name == ["cell-1.relay.sysdig-fargate-orchestrator.internal", "cell-2.relay.sysdig-fargate-orchestrator.internal"]
    error_message = "the cells are ${jsonencode(output.discovery.cells)}"
  }

  assert {
    condition     = output.orchestrator_host == "relay.sysdig-fargate-orchestrator.internal"
    error_message = "the fleet's own name changed with its cells"
  }
}

run "a_shared_namespace_holds_fleets_apart" {
  variables {
    name           = "tokyo"
    namespace_id   = "ns-found"
    namespace_name = "telemetry.internal"
  }

  assert {
    condition     = output.orchestrator_host == "tokyo.telemetry.internal"
    error_message = "the fleet is ${output.orchestrator_host}"
  }
}

run "names_that_dns_does_not_take_are_made_to_fit" {
  variables {
    name = "Sysdig_Orchestrator"
  }

  assert {
    condition     = output.orchestrator_host == "relay.sysdig-orchestrator.internal"
    error_message = "the fleet is ${output.orchestrator_host}"
  }
}

run "a_namespace_of_another_account_is_reached_by_a_role" {
  variables {
    discovery_services    = [{ id = "srv-theirs", arn = "arn:aws:servicediscovery:ap-northeast-1:444455556666:service/srv-theirs", dns_name = "tokyo.telemetry.internal" }]
    namespace_role_arn    = "arn:aws:iam::444455556666:role/registrar"
    namespace_external_id = "0123456789abcdef"
  }

  assert {
    condition     = jsondecode(aws_iam_role_policy.registration.policy).Statement == [{ Effect = "Allow", Action = "sts:AssumeRole", Resource = ["arn:aws:iam::444455556666:role/registrar"] }]
    error_message = "relays may do more than take the role"
  }

  assert {
    condition     = output.discovery.service_id == "srv-theirs" && output.discovery.external_id == "0123456789abcdef" && length(module.discovery) == 0
    error_message = "the fleet's settings would not lead to the other account"
  }
}

run "scaling_leaves_the_count_alone" {
  variables {
    autoscaling = { target_metric = "ECSServiceAverageCPUUtilization", target_value = "60", max_capacity = "6", scale_in_cooldown = "120", scale_out_cooldown = "" }
  }

  assert {
    condition     = length(aws_ecs_service.relay) == 0 && length(aws_ecs_service.scaled) == 1
    error_message = "Terraform would take back what scaling added"
  }

  assert {
    condition     = aws_appautoscaling_target.relay[0].min_capacity == 2 && aws_appautoscaling_target.relay[0].max_capacity == 6
    error_message = "it does not scale from desired_count to max_capacity"
  }

  assert {
    condition = (
      aws_appautoscaling_policy.relay[0].target_tracking_scaling_policy_configuration[0].target_value == 60 &&
      aws_appautoscaling_policy.relay[0].target_tracking_scaling_policy_configuration[0].scale_in_cooldown == 120 &&
      aws_appautoscaling_policy.relay[0].target_tracking_scaling_policy_configuration[0].scale_out_cooldown == 300
    )
    error_message = "it scales otherwise than said"
  }
}
