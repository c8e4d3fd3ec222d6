# What is allowed and hardly wanted.
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

run "one_relay_is_warned_of" {
  command = plan

  variables {
    desired_count = 1
  }

  expect_failures = [check.relays]
}

run "the_vendors_image_is_warned_of" {
  command = plan

  variables {
    agent_image = "quay.io/sysdig/orchestrator-agent:latest"
  }

  expect_failures = [check.vendors_image]
}

run "a_tag_is_warned_of" {
  command = plan

  variables {
    agent_image = "registry.example/ekiden/relay:0.1.0"
  }

  expect_failures = [check.image_digest]
}

run "half_a_minute_to_leave_is_warned_of" {
  command = plan

  variables {
    stop_timeout = 30
  }

  expect_failures = [check.time_to_leave]
}

run "logs_for_ever_are_warned_of" {
  command = plan

  variables {
    log_retention_days = "0"
  }

  expect_failures = [check.log_retention]
}

run "a_certificate_that_nobody_checks_is_warned_of" {
  command = plan

  variables {
    check_collector_certificate = "false"
  }

  expect_failures = [check.certificate]
}

run "one_zone_is_warned_of" {
  command = plan

  variables {
    subnets = ["subnet-a"]
  }

  expect_failures = [check.zones]
}
