# A file for the vendor's module with every one of its variables set. Only `source` was changed, and `version` dropped.
module "sysdig_orchestrator_agent" {
  source = "../../modules/relay-fleet"

  name                        = "orchestrator"
  vpc_id                      = var.vpc_id
  access_key                  = var.access_key
  subnets                     = var.subnets
  orchestrator_port           = 6667
  agent_image                 = "quay.io/sysdig/orchestrator-agent:5.4.0"
  collector_host              = "ingest.us4.sysdig.com"
  collector_port              = "6443"
  agent_tags                  = "env:production,team:payments"
  check_collector_certificate = "true"
  assign_public_ip            = true

  tags = {
    CostCenter = "1234"
  }

  default_tags = {
    Application = "sysdig"
    Module      = "fargate-orchestrator-agent"
  }

  lb_name = "orchestrator"

  collector_ca_certificate = {
    type  = "base64"
    value = base64encode(var.collector_ca_pem)
    path  = "/ssl/collector_cert.pem"
  }

  collector_configuration = {
    ca_certificate = "/ssl/collector_cert.pem"
  }

  http_proxy_ca_certificate = {
    type  = "base64"
    value = base64encode(var.proxy_ca_pem)
    path  = "/ssl/proxy_cert.pem"
  }

  http_proxy_configuration = {
    proxy_host             = "proxy.internal"
    proxy_port             = "3128"
    proxy_user             = "orchestrator"
    proxy_password         = var.proxy_password
    ssl                    = "true"
    ssl_verify_certificate = "true"
    ca_certificate         = "/ssl/proxy_cert.pem"
  }

  autoscaling = {
    target_metric      = "ECSServiceAverageCPUUtilization"
    target_value       = "60"
    max_capacity       = "4"
    scale_in_cooldown  = "300"
    scale_out_cooldown = "60"
  }

  agent_log_level    = "info"
  agent_extra_conf   = "log:\n  file_priority: error\n"
  cpu                = "2048"
  memory             = "8192"
  log_retention_days = "90"

  runtime_platform = {
    cpu_architecture = "X86_64"
  }
}

output "orchestrator_host" {
  description = "What workloads' agents connect to."
  value       = module.sysdig_orchestrator_agent.orchestrator_host
}

output "orchestrator_port" {
  description = "And its port."
  value       = module.sysdig_orchestrator_agent.orchestrator_port
}

output "orchestrator_security_group_id" {
  description = "And its security group."
  value       = module.sysdig_orchestrator_agent.orchestrator_security_group_id
}
