# What a control plane is when nothing but the required is said.
mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  vpc_id               = "vpc-1"
  subnets              = ["subnet-a", "subnet-c"]
  balancer_subnets     = ["subnet-public-a", "subnet-public-c"]
  server_names         = ["ekiden.example.com"]
  relay_cidr_blocks    = ["0.0.0.0/0"]
  operator_cidr_blocks = ["203.0.113.0/24"]
  database_ca_pem      = "-----BEGIN CERTIFICATE-----"
  database_password    = "0123456789abcdef"
}

run "replicas_follow_each_other_without_a_gap" {
  assert {
    condition     = aws_ecs_service.control_plane.desired_count == 2 && aws_ecs_service.control_plane.deployment_minimum_healthy_percent == 100
    error_message = "there is a time without a replica"
  }

  assert {
    condition     = join(" ", sort([for balancer in aws_ecs_service.control_plane.load_balancer : tostring(balancer.container_port)])) == "8443 9443"
    error_message = "a port is not behind the balancer"
  }

  assert {
    condition     = length(aws_ecs_service.control_plane.service_registries) == 1
    error_message = "replicas are not in Cloud Map"
  }
}

run "tls_goes_through_the_balancer" {
  assert {
    condition     = alltrue([for listener in aws_lb_listener.control_plane : listener.protocol == "TCP" && listener.certificate_arn == null])
    error_message = "the balancer ends TLS, and hides the relays' certificates"
  }

  assert {
    condition     = alltrue([for group in aws_lb_target_group.control_plane : group.preserve_client_ip == "true"])
    error_message = "all who fail to prove themselves look like one"
  }
}

run "the_database_is_migrated_before_it_is_served" {
  assert {
    condition = (
      jsondecode(aws_ecs_task_definition.control_plane.container_definitions)[0].command == ["migrate"] &&
      !jsondecode(aws_ecs_task_definition.control_plane.container_definitions)[0].essential &&
      jsondecode(aws_ecs_task_definition.control_plane.container_definitions)[1].dependsOn == [{ containerName = "migrate", condition = "SUCCESS" }]
    )
    error_message = "a replica may begin on a database of another version"
  }
}

run "the_database_is_private_and_checked" {
  assert {
    condition = alltrue([for container in jsondecode(aws_ecs_task_definition.control_plane.container_definitions) :
      container.secrets == [{ name = "EKIDEN_DATABASE_URL", valueFrom = "arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:made-AbCdEf" }] &&
      contains(container.environment, { name = "PGSSLROOTCERT", value = "-----BEGIN CERTIFICATE-----" })
      if container.name != "root-certificate"
    ])
    error_message = "the password is in plain environment, or the database's certificate is not checked"
  }

  assert {
    condition     = aws_db_instance.database.password == null && aws_secretsmanager_secret_version.database_url.secret_string == null
    error_message = "the password is in the state"
  }

  assert {
    condition     = contains([for parameter in aws_db_parameter_group.database.parameter : "${parameter.name}=${parameter.value}"], "rds.force_ssl=1")
    error_message = "the database takes plain text"
  }

  assert {
    condition     = aws_db_instance.database.storage_encrypted && !aws_db_instance.database.publicly_accessible && aws_db_instance.database.multi_az
    error_message = "the database is in the clear, public, or in one zone"
  }

  assert {
    condition     = aws_db_instance.database.deletion_protection && aws_db_instance.database.backup_retention_period == 14 && !aws_db_instance.database.skip_final_snapshot
    error_message = "the database can be lost"
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database.cidr_ipv4 == null
    error_message = "others than the replicas reach the database"
  }
}

run "the_root_certificate_can_be_read_from_the_log" {
  assert {
    condition = [for container in jsondecode(aws_ecs_task_definition.control_plane.container_definitions) : {
      command = container.command, after = container.dependsOn, secrets = container.secrets, essential = container.essential
      } if container.name == "root-certificate"] == [{
      command = ["ca"], after = [{ containerName = "control-plane", condition = "HEALTHY" }], secrets = [], essential = false
    }]
    error_message = "nobody learns what relays must trust"
  }
}

run "the_master_key_does_nothing_without_a_place" {
  assert {
    condition = anytrue([for statement in jsondecode(aws_kms_key.master.policy).Statement :
      statement.Effect == "Deny" && statement.Condition == { Null = { "kms:EncryptionContext:ekiden:place" = "true" } } && contains(statement.Action, "kms:Decrypt")
      if statement.Effect == "Deny"
    ])
    error_message = "the key opens what does not say where it belongs"
  }

  assert {
    condition = alltrue([for statement in jsondecode(aws_kms_key.master.policy).Statement :
      statement.Principal == { AWS = "arn:aws:iam::111122223333:role/made" } if statement.Effect == "Allow" && contains(statement.Action, "kms:Decrypt")
    ])
    error_message = "others than the replicas can open access keys"
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.control_plane.container_definitions)[1].environment, { name = "EKIDEN_MASTER_KEY", value = "kms:arn:aws:kms:ap-northeast-1:111122223333:key/made" })
    error_message = "the control plane does not know its key"
  }
}

run "who_is_named_comes_in" {
  assert {
    condition = { for rule in aws_vpc_security_group_ingress_rule.balancer : tostring(rule.from_port) => rule.cidr_ipv4 } == {
      "8443" = "0.0.0.0/0"
      "9443" = "203.0.113.0/24"
    }
    error_message = "others come in"
  }

  assert {
    condition     = alltrue([for rule in aws_vpc_security_group_ingress_rule.tasks : rule.cidr_ipv4 == null])
    error_message = "replicas are reached past the balancer"
  }
}

run "certificates_hold_every_name" {
  variables {
    server_names = ["ekiden.example.com", "cp.example.com"]
  }

  assert {
    condition     = contains(jsondecode(aws_ecs_task_definition.control_plane.container_definitions)[1].environment, { name = "EKIDEN_SERVER_NAMES", value = "ekiden.example.com,cp.example.com,control-plane.ekiden.internal" })
    error_message = "a name is not in the certificate"
  }

  assert {
    condition     = output.endpoint == "https://ekiden.example.com:8443" && output.internal_endpoint == "https://control-plane.ekiden.internal:8443"
    error_message = "the endpoints are ${output.endpoint} and ${output.internal_endpoint}"
  }
}

run "a_new_password_means_new_replicas" {
  variables {
    database_password_version = 2
  }

  assert {
    condition     = aws_db_instance.database.password_wo_version == 2 && aws_secretsmanager_secret_version.database_url.secret_string_wo_version == 2
    error_message = "database and secret would hold different passwords"
  }

  assert {
    condition     = alltrue([for container in jsondecode(aws_ecs_task_definition.control_plane.container_definitions) : container.dockerLabels["ekiden.database-password-version"] == "2"])
    error_message = "replicas would go on with the old password"
  }
}

run "somebody_is_told" {
  variables {
    alarm_actions = ["arn:aws:sns:ap-northeast-1:111122223333:alarms"]
  }

  assert {
    condition     = length(aws_cloudwatch_metric_alarm.control_plane) >= 8 && alltrue([for alarm in aws_cloudwatch_metric_alarm.control_plane : alarm.alarm_actions == toset(["arn:aws:sns:ap-northeast-1:111122223333:alarms"])])
    error_message = "an alarm tells nobody"
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.control_plane["replicas-few"].threshold == 2
    error_message = "a missing replica goes unnoticed"
  }
}
