# The variables of the vendor's module, by name and type, so that a change of `source` needs no other edit.
# https://github.com/sysdiglabs/terraform-aws-fargate-orchestrator-agent

variable "name" {
  description = "Begins the names of everything here."
  type        = string
  default     = "sysdig-fargate-orchestrator"

  validation {
    condition     = can(regex("^[a-zA-Z0-9][a-zA-Z0-9_-]{0,60}[a-zA-Z0-9]$", var.name))
    error_message = "name: \"${var.name}\" will not do: 2 to 62 letters, digits, hyphens and underscores, a letter or digit at both ends."
  }
}

variable "vpc_id" {
  description = "VPC that the fleet serves."
  type        = string
}

variable "access_key" {
  description = "The vendor's access key, or the ARN of a Secrets Manager secret that holds it (with `:json-key::` behind it where it is one value of several). A key goes to a secret made here, and into neither state nor task definition. Empty with a control plane: it holds the keys."
  type        = string
  default     = ""
  sensitive   = true

  validation {
    condition = !startswith(var.access_key, "arn:") || can(regex(
      "^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?$", var.access_key
    ))
    error_message = "access_key: it begins as an ARN and is none of Secrets Manager: arn:aws:secretsmanager:<region>:<account>:secret:<name>, then perhaps :<json key>:<stage>:<version>."
  }

  validation {
    condition     = var.access_key != "" || var.control_plane_endpoint != ""
    error_message = "access_key: without a control plane (control_plane_endpoint) relays need the vendor's access key from here."
  }
}

variable "subnets" {
  description = "Subnets of relays, in at least two zones for a fleet that outlives one; they need a way to the collector."
  type        = list(string)

  validation {
    condition     = length(var.subnets) > 0
    error_message = "subnets: at least one is needed, and two in different zones for relays that outlive a zone."
  }
}

variable "orchestrator_port" {
  description = "Port on which relays take the workloads' agents."
  type        = number
  default     = 6667

  validation {
    condition     = var.orchestrator_port >= 1024 && var.orchestrator_port <= 65535 && var.orchestrator_port != 8080
    error_message = "orchestrator_port: ${var.orchestrator_port} will not do: 1024 to 65535 (relays are not root), and not 8080, where a relay answers for its own health."
  }
}

variable "agent_image" {
  description = "Image of the relay, best by digest (`…@sha256:…`). Empty: `relay_repository` at `relay_image_tag` in ECR, by the digest it has now. The vendor's own image is replaced by that one, with a warning."
  type        = string
  default     = ""
}

variable "collector_host" {
  description = "The vendor's collector, for relays that have no control plane, or have not reached it yet."
  type        = string
  default     = "collector.sysdigcloud.com"
}

variable "collector_port" {
  description = "Its port."
  type        = string
  default     = "6443"

  validation {
    condition     = can(regex("^[0-9]+$", var.collector_port)) && try(tonumber(var.collector_port) >= 1 && tonumber(var.collector_port) <= 65535, false)
    error_message = "collector_port: \"${var.collector_port}\" is no port: a number from 1 to 65535."
  }
}

variable "agent_tags" {
  description = "Tags that go to the vendor with the key: `name:value,…`."
  type        = string
  default     = ""
}

variable "check_collector_certificate" {
  description = "Whether the collector's certificate must be good: `true` or `false`."
  type        = string
  default     = "true"

  validation {
    condition     = contains(["true", "false"], var.check_collector_certificate)
    error_message = "check_collector_certificate: \"${var.check_collector_certificate}\" is neither true nor false."
  }
}

variable "assign_public_ip" {
  description = "Gives each relay a public address; needed where the subnets lead out by an internet gateway."
  type        = bool
  default     = false
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
  default     = {}
}

variable "default_tags" {
  description = "More tags of everything here; they win over `tags`."
  type        = map(string)
  default = {
    Application = "ekiden"
    Module      = "relay-fleet"
  }
}

variable "lb_name" {
  description = "Name of the load balancer that `enable_nlb` keeps; empty: AWS names it."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?)?$", var.lb_name)) && !startswith(var.lb_name, "internal-")
    error_message = "lb_name: \"${var.lb_name}\" will not do: at most 32 letters, digits and hyphens, no hyphen at either end, and not internal-… at its begin."
  }
}

variable "collector_ca_certificate" {
  description = "A CA of the collector's own: `type` is `base64`; `value` the PEM, encoded so; `path` is taken for compatibility and names no file here."
  type = object({
    type  = string
    value = string
    path  = string
  })
  default = {
    type  = "base64"
    value = ""
    path  = "/ssl/collector_cert.pem"
  }

  validation {
    condition     = var.collector_ca_certificate.value == "" || var.collector_ca_certificate.type != "base64" || can(regex("-----BEGIN CERTIFICATE-----", base64decode(var.collector_ca_certificate.value)))
    error_message = "collector_ca_certificate: value holds no PEM certificate in base64."
  }
}

variable "collector_configuration" {
  description = "`ca_certificate`: the path of the collector's CA, as in `collector_ca_certificate.path`."
  type = object({
    ca_certificate = string
  })
  default = { ca_certificate = "" }
}

variable "http_proxy_ca_certificate" {
  description = "A CA of the proxy's own, as in `collector_ca_certificate`."
  type = object({
    type  = string
    value = string
    path  = string
  })
  default = {
    type  = "base64"
    value = ""
    path  = "/ssl/proxy_cert.pem"
  }

  validation {
    condition     = var.http_proxy_ca_certificate.value == "" || var.http_proxy_ca_certificate.type != "base64" || can(regex("-----BEGIN CERTIFICATE-----", base64decode(var.http_proxy_ca_certificate.value)))
    error_message = "http_proxy_ca_certificate: value holds no PEM certificate in base64."
  }
}

variable "http_proxy_configuration" {
  description = "HTTP CONNECT proxy on the way to the collector. `proxy_password` is the password, or the ARN of a Secrets Manager secret that holds it."
  type = object({
    proxy_host             = string
    proxy_port             = string
    proxy_user             = string
    proxy_password         = string
    ssl                    = string
    ssl_verify_certificate = string
    ca_certificate         = string
  })
  default = {
    proxy_host             = ""
    proxy_port             = ""
    proxy_user             = ""
    proxy_password         = ""
    ssl                    = ""
    ssl_verify_certificate = ""
    ca_certificate         = ""
  }

  validation {
    condition     = var.http_proxy_configuration.proxy_host == "" || try(tonumber(var.http_proxy_configuration.proxy_port) >= 1 && tonumber(var.http_proxy_configuration.proxy_port) <= 65535, false)
    error_message = "http_proxy_configuration: proxy_port \"${var.http_proxy_configuration.proxy_port}\" is no port: a number from 1 to 65535."
  }

  validation {
    condition     = alltrue([for flag in [var.http_proxy_configuration.ssl, var.http_proxy_configuration.ssl_verify_certificate] : contains(["", "true", "false"], flag)])
    error_message = "http_proxy_configuration: ssl and ssl_verify_certificate are true, false or empty."
  }
}

variable "autoscaling" {
  description = "Scaling by `ECSServiceAverageCPUUtilization` or `ECSServiceAverageMemoryUtilization` (`target_metric`) to `target_value` percent, from `desired_count` to `max_capacity` relays, with cooldowns in seconds. An empty `target_metric`: none."
  type = object({
    target_metric      = string
    target_value       = string
    max_capacity       = string
    scale_in_cooldown  = string
    scale_out_cooldown = string
  })
  default = {
    target_metric      = ""
    target_value       = ""
    max_capacity       = ""
    scale_in_cooldown  = ""
    scale_out_cooldown = ""
  }

  validation {
    condition     = contains(["", "ECSServiceAverageCPUUtilization", "ECSServiceAverageMemoryUtilization"], var.autoscaling.target_metric)
    error_message = "autoscaling: target_metric \"${var.autoscaling.target_metric}\" is not known: ECSServiceAverageCPUUtilization or ECSServiceAverageMemoryUtilization."
  }

  validation {
    condition     = var.autoscaling.target_metric == "" || try(tonumber(var.autoscaling.target_value) > 0 && tonumber(var.autoscaling.target_value) <= 100, false)
    error_message = "autoscaling: target_value \"${var.autoscaling.target_value}\" is no percentage."
  }

  validation {
    condition     = var.autoscaling.target_metric == "" || try(tonumber(var.autoscaling.max_capacity) >= var.desired_count, false)
    error_message = "autoscaling: max_capacity \"${var.autoscaling.max_capacity}\" must be a number of at least desired_count, ${var.desired_count}."
  }

  validation {
    condition = alltrue([for seconds in [var.autoscaling.scale_in_cooldown, var.autoscaling.scale_out_cooldown] :
      seconds == "" || can(regex("^[0-9]+$", seconds))
    ])
    error_message = "autoscaling: scale_in_cooldown and scale_out_cooldown are whole seconds, or empty for 300."
  }
}

variable "agent_log_level" {
  description = "How much relays log: fatal, critical, error, warning, notice, info, debug or trace."
  type        = string
  default     = "info"

  validation {
    condition     = contains(["fatal", "critical", "error", "warning", "notice", "info", "debug", "trace"], var.agent_log_level)
    error_message = "agent_log_level: \"${var.agent_log_level}\" is not known: fatal, critical, error, warning, notice, info, debug or trace."
  }
}

variable "agent_extra_conf" {
  description = "More of the vendor's configuration, in YAML; relays heed `log.console_priority` and `http_proxy`."
  type        = string
  default     = ""

  validation {
    condition     = trimspace(var.agent_extra_conf) == "" || can(keys(yamldecode(var.agent_extra_conf)))
    error_message = "agent_extra_conf: it is no YAML mapping."
  }
}

variable "cpu" {
  description = "CPU units of a task; 1024 are a vCPU."
  type        = string
  default     = "256"
}

variable "memory" {
  description = "MiB of a task; Fargate knows certain pairs with `cpu` only."
  type        = string
  default     = "512"

  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
  validation {
    condition = contains(lookup({
      "256"   = ["512", "1024", "2048"]
      "512"   = [for gib in range(1, 5) : tostring(gib * 1024)]
      "1024"  = [for gib in range(2, 9) : tostring(gib * 1024)]
      "2048"  = [for gib in range(4, 17) : tostring(gib * 1024)]
      "4096"  = [for gib in range(8, 31) : tostring(gib * 1024)]
      "8192"  = [for gib in range(16, 61, 4) : tostring(gib * 1024)]
      "16384" = [for gib in range(32, 121, 8) : tostring(gib * 1024)]
    }, var.cpu, []), var.memory)
    error_message = "cpu and memory: Fargate knows no task of ${var.cpu} CPU units and ${var.memory} MiB. The smallest are 256 with 512, 1024 or 2048; 512 with 1024 to 4096; 1024 with 2048 to 8192; 2048 with 4096 to 16384."
  }
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps the relays' logs; `0`: for ever."
  type        = string
  default     = "30"

  # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
  validation {
    condition = contains([
      "0", "1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653",
    ], var.log_retention_days)
    error_message = "log_retention_days: CloudWatch keeps nothing for \"${var.log_retention_days}\" days: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, or 0 for ever."
  }
}

variable "runtime_platform" {
  description = "`cpu_architecture`: X86_64, or ARM64, which costs a fifth less."
  type = object({
    cpu_architecture = string
  })
  default = { cpu_architecture = "X86_64" }

  validation {
    condition     = contains(["X86_64", "ARM64"], var.runtime_platform.cpu_architecture)
    error_message = "runtime_platform: cpu_architecture \"${var.runtime_platform.cpu_architecture}\" is not known: X86_64 or ARM64."
  }
}

variable "vpc_cidr" {
  description = "Addresses that may reach relays where `allowed_security_group_ids` names nobody; empty: the VPC's own."
  type        = string
  default     = ""

  validation {
    condition     = var.vpc_cidr == "" || can(cidrnetmask(var.vpc_cidr))
    error_message = "vpc_cidr: \"${var.vpc_cidr}\" is no range of IPv4 addresses, such as 10.0.0.0/16."
  }

  validation {
    condition     = var.vpc_cidr == "" || try(tonumber(split("/", var.vpc_cidr)[1]) >= 8, false)
    error_message = "vpc_cidr: ${var.vpc_cidr} would let in more than any VPC holds. What reaches port ${var.orchestrator_port} needs no credential; name the VPC's range, or groups in allowed_security_group_ids."
  }
}

variable "namespace_id" {
  description = "Cloud Map namespace (`ns-…`) that is there already; empty: one is made. Goes with `namespace_name`."
  type        = string
  default     = ""

  validation {
    condition     = var.namespace_id == "" || startswith(var.namespace_id, "ns-")
    error_message = "namespace_id: \"${var.namespace_id}\" is no id of a namespace: ns-…"
  }
}

variable "namespace_name" {
  description = "DNS name of the namespace, made or found; empty: `<name>.internal`."
  type        = string
  default     = ""

  validation {
    condition     = var.namespace_name == "" || can(regex("^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)(\\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)+$", lower(var.namespace_name)))
    error_message = "namespace_name: \"${var.namespace_name}\" is no DNS name of at least two labels, such as telemetry.internal."
  }

  validation {
    condition     = var.namespace_id == "" || var.namespace_name != ""
    error_message = "namespace_name: give it beside namespace_id; Cloud Map is asked by name, and ${var.namespace_id} must be the one of that name."
  }
}
