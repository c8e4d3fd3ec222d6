# What is wrong in the vendor's variables is said at plan, by the name of the variable.
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

run "no_key_and_no_control_plane" {
  command = plan

  variables {
    access_key = ""
  }

  expect_failures = [var.access_key]
}

run "an_arn_of_something_else" {
  command = plan

  variables {
    access_key = "arn:aws:ssm:ap-northeast-1:111122223333:parameter/key"
  }

  expect_failures = [var.access_key]
}

run "a_privileged_port" {
  command = plan

  variables {
    orchestrator_port = 443
  }

  expect_failures = [var.orchestrator_port]
}

run "the_port_of_the_relays_own_health" {
  command = plan

  variables {
    orchestrator_port = 8080
  }

  expect_failures = [var.orchestrator_port]
}

run "a_collector_port_that_is_no_number" {
  command = plan

  variables {
    collector_port = "https"
  }

  expect_failures = [var.collector_port]
}

run "a_collector_port_that_is_no_port" {
  command = plan

  variables {
    collector_port = "65536"
  }

  expect_failures = [var.collector_port]
}

run "a_check_that_is_neither_true_nor_false" {
  command = plan

  variables {
    check_collector_certificate = "yes"
  }

  expect_failures = [var.check_collector_certificate]
}

run "a_stop_timeout_of_1" {
  command = plan

  variables {
    stop_timeout = 1
    dns_ttl      = 1
  }

  expect_failures = [var.stop_timeout]
}

run "a_stop_timeout_of_121" {
  command = plan

  variables {
    stop_timeout = 121
  }

  expect_failures = [var.stop_timeout]
}

run "a_ttl_longer_than_two_fifths_of_the_stop_timeout" {
  command = plan

  variables {
    stop_timeout = 120
    dns_ttl      = 49
  }

  expect_failures = [var.dns_ttl]
}

run "a_ttl_of_0" {
  command = plan

  variables {
    dns_ttl = 0
  }

  expect_failures = [var.dns_ttl]
}

run "an_soa_ttl_of_a_day" {
  command = plan

  variables {
    soa_ttl = 86400
  }

  expect_failures = [var.soa_ttl]
}

run "a_pair_that_fargate_does_not_know" {
  command = plan

  variables {
    cpu    = "256"
    memory = "4096"
  }

  expect_failures = [var.memory]
}

run "cpu_that_is_no_number" {
  command = plan

  variables {
    cpu = "a quarter"
  }

  expect_failures = [var.memory]
}

run "retention_that_cloudwatch_does_not_know" {
  command = plan

  variables {
    log_retention_days = "31"
  }

  expect_failures = [var.log_retention_days]
}

run "an_unknown_log_level" {
  command = plan

  variables {
    agent_log_level = "verbose"
  }

  expect_failures = [var.agent_log_level]
}

run "extra_configuration_that_is_no_yaml" {
  command = plan

  variables {
    agent_extra_conf = "log: ["
  }

  expect_failures = [var.agent_extra_conf]
}

run "an_unknown_architecture" {
  command = plan

  variables {
    runtime_platform = { cpu_architecture = "arm64" }
  }

  expect_failures = [var.runtime_platform]
}

run "no_subnet" {
  command = plan

  variables {
    subnets = []
  }

  expect_failures = [var.subnets]
}

run "an_open_door" {
  command = plan

  variables {
    vpc_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.vpc_cidr]
}

run "half_an_open_door" {
  command = plan

  variables {
    vpc_cidr = "128.0.0.0/1"
  }

  expect_failures = [var.vpc_cidr]
}

run "a_vpc_cidr_that_is_none" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0"
  }

  expect_failures = [var.vpc_cidr]
}
