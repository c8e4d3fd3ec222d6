# What is wrong is said at plan, by the name of the variable.
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

run "one_replica" {
  command = plan

  variables {
    desired_count = 1
  }

  expect_failures = [var.desired_count]
}

run "one_zone" {
  command = plan

  variables {
    subnets = ["subnet-a"]
  }

  expect_failures = [var.subnets]
}

run "operators_from_everywhere" {
  command = plan

  variables {
    operator_cidr_blocks = ["0.0.0.0/0"]
  }

  expect_failures = [var.operator_cidr_blocks]
}

run "operators_from_nowhere" {
  command = plan

  variables {
    operator_cidr_blocks = []
  }

  expect_failures = [var.operator_cidr_blocks]
}

run "relays_from_nowhere" {
  command = plan

  variables {
    relay_cidr_blocks = []
  }

  expect_failures = [var.relay_security_group_ids]
}

run "relays_from_what_is_no_range" {
  command = plan

  variables {
    relay_cidr_blocks = ["203.0.113.7"]
  }

  expect_failures = [var.relay_cidr_blocks]
}

run "no_server_name" {
  command = plan

  variables {
    server_names = []
  }

  expect_failures = [var.server_names]
}

run "a_url_for_a_server_name" {
  command = plan

  variables {
    server_names = ["https://ekiden.example.com"]
  }

  expect_failures = [var.server_names]
}

run "no_roots_of_the_database" {
  command = plan

  variables {
    database_ca_pem = "rds.pem"
  }

  expect_failures = [var.database_ca_pem]
}

run "the_global_bundle" {
  command = plan

  variables {
    database_ca_pem = join("", ["-----BEGIN CERTIFICATE-----", join("", [for n in range(0, 1024) : "MIIE6jCCAtKgAwIBAgIJAMi="])])
  }

  expect_failures = [var.database_ca_pem]
}

run "an_old_postgres" {
  command = plan

  variables {
    database_engine_version = "14"
  }

  expect_failures = [var.database_engine_version]
}

run "a_database_without_backups" {
  command = plan

  variables {
    backup_retention_days = 0
  }

  expect_failures = [var.backup_retention_days]
}

run "a_pair_that_fargate_does_not_know" {
  command = plan

  variables {
    cpu    = "1024"
    memory = "512"
  }

  expect_failures = [var.memory]
}

run "an_unknown_architecture" {
  command = plan

  variables {
    cpu_architecture = "arm64"
  }

  expect_failures = [var.cpu_architecture]
}

run "a_password_in_plain_environment" {
  command = plan

  variables {
    extra_environment = { EKIDEN_DATABASE_URL = "postgres://ekiden:password@db/ekiden" }
  }

  expect_failures = [var.extra_environment]
}

run "a_namespace_without_its_name" {
  command = plan

  variables {
    namespace_id = "ns-1"
  }

  expect_failures = [var.namespace_id]
}

run "a_name_that_is_too_long" {
  command = plan

  variables {
    name = "a-control-plane-of-many-words"
  }

  expect_failures = [var.name]
}

run "a_tag_is_warned_of" {
  command = plan

  variables {
    image = "registry.example/ekiden/control-plane:0.1.0"
  }

  expect_failures = [check.image_digest]
}

run "a_password_that_a_url_cannot_hold" {
  command = plan

  variables {
    database_password = "p@ss:word/0123456789"
  }

  expect_failures = [var.database_password]
}
