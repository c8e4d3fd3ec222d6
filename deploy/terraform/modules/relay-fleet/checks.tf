# What is allowed and hardly wanted: a plan warns of it and goes on.

data "aws_subnet" "relay" {
  count = length(var.subnets)

  id = var.subnets[count.index]

  lifecycle {
    postcondition {
      condition     = self.vpc_id == var.vpc_id
      error_message = "subnets: ${self.id} lies in ${self.vpc_id}, not in ${var.vpc_id}."
    }
  }
}

check "zones" {
  assert {
    condition     = length(distinct(data.aws_subnet.relay[*].availability_zone)) >= 2
    error_message = "subnets: all lie in one availability zone; when it fails, so do all relays of ${var.name}."
  }
}

check "relays" {
  assert {
    condition     = var.desired_count >= 2
    error_message = "desired_count: ${var.desired_count} leaves nobody to serve while a relay is replaced; 2 cost little."
  }
}

check "vendors_image" {
  assert {
    condition     = !local.vendors_image
    error_message = "agent_image: ${var.agent_image} is the vendor's and does not run here; ${var.relay_repository}:${var.relay_image_tag} takes its place. Leave agent_image away, or name a relay's image by digest."
  }
}

check "image_digest" {
  assert {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", local.image))
    error_message = "agent_image: ${local.image} is no digest; what runs may change without a plan. Name it as …@sha256:…"
  }
}

check "time_to_leave" {
  assert {
    condition     = var.stop_timeout >= 60 + var.dns_ttl + 5 + var.stop_timeout / 4
    error_message = "stop_timeout: in ${var.stop_timeout} s a relay cannot wait until DNS has forgotten it (up to 60 s), its address has left every cache (dns_ttl and 5 s) and its connections are done. It does what fits; 120 fits all."
  }
}

check "certificate" {
  assert {
    condition     = var.check_collector_certificate == "true"
    error_message = "check_collector_certificate: whoever stands between relays and collector can read the access key and all telemetry."
  }
}

check "log_retention" {
  assert {
    condition     = var.log_retention_days != "0"
    error_message = "log_retention_days: 0 keeps logs, and their bill, for ever."
  }
}
