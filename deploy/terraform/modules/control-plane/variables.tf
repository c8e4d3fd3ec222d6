variable "name" {
  description = "Begins the names of everything here."
  type        = string
  default     = "ekiden"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,16}[a-z0-9]$", var.name))
    error_message = "name: \"${var.name}\" will not do: 2 to 18 of a-z, 0-9 and hyphens, a letter first and no hyphen last; names of load balancers are short."
  }
}

variable "vpc_id" {
  description = "VPC of the control plane."
  type        = string
}

variable "subnets" {
  description = "Private subnets of tasks and database, in at least two zones; they need a way to AWS's APIs."
  type        = list(string)

  validation {
    condition     = length(var.subnets) >= 2
    error_message = "subnets: at least two are needed, in different zones."
  }
}

variable "balancer_subnets" {
  description = "Subnets of the load balancer; public ones, unless `internal`."
  type        = list(string)

  validation {
    condition     = length(var.balancer_subnets) >= 2
    error_message = "balancer_subnets: at least two are needed, in different zones."
  }
}

variable "server_names" {
  description = "DNS names under which relays and operators reach it; they go into its certificates. The first is that of `endpoint`."
  type        = list(string)

  validation {
    condition     = length(var.server_names) > 0 && alltrue([for name in var.server_names : can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z0-9-]+$", name))])
    error_message = "server_names: at least one DNS name is needed, such as ekiden.example.com, in small letters."
  }
}

variable "zone_id" {
  description = "Route 53 zone in which the first of `server_names` is made; empty: make it yourself, to `balancer_dns_name`."
  type        = string
  default     = ""
}

variable "internal" {
  description = "Whether the load balancer has private addresses alone."
  type        = bool
  default     = false
}

variable "relay_cidr_blocks" {
  description = "Addresses from which relays come. They prove themselves by certificate, so that `0.0.0.0/0` is allowed for customers whose addresses nobody knows."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for cidr in var.relay_cidr_blocks : can(cidrnetmask(cidr))])
    error_message = "relay_cidr_blocks: each must be a range of IPv4 addresses, such as 203.0.113.0/24."
  }
}

variable "relay_security_group_ids" {
  description = "Security groups of relays in this VPC, or one peered with it."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.relay_cidr_blocks) + length(var.relay_security_group_ids) > 0
    error_message = "relay_cidr_blocks and relay_security_group_ids: name those from which relays come; nobody is let in unasked."
  }
}

variable "operator_cidr_blocks" {
  description = "Addresses from which operators come."
  type        = list(string)

  validation {
    condition     = length(var.operator_cidr_blocks) > 0 && alltrue([for cidr in var.operator_cidr_blocks : can(cidrnetmask(cidr))])
    error_message = "operator_cidr_blocks: at least one range of IPv4 addresses is needed, such as 203.0.113.0/24."
  }

  validation {
    condition     = alltrue([for cidr in var.operator_cidr_blocks : try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "operator_cidr_blocks: a stolen token would do from anywhere in the world; name your offices, your VPN or a bastion."
  }
}

variable "image" {
  description = "Image of the control plane, best by digest. Empty: `repository` at `image_tag` in this account's ECR, by the digest it has now."
  type        = string
  default     = ""
}

variable "repository" {
  description = "ECR repository of the image."
  type        = string
  default     = "ekiden/control-plane"
}

variable "image_tag" {
  description = "Tag looked up there."
  type        = string
  default     = "0.1.0"
}

variable "desired_count" {
  description = "Replicas."
  type        = number
  default     = 2

  validation {
    condition     = var.desired_count >= 2
    error_message = "desired_count: ${var.desired_count} leaves nobody while a replica is replaced; at least 2."
  }
}

variable "cpu" {
  description = "CPU units of a task."
  type        = string
  default     = "1024"
}

variable "memory" {
  description = "MiB of a task; Fargate knows certain pairs with `cpu` only."
  type        = string
  default     = "2048"

  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
  validation {
    condition = contains(lookup({
      "512"  = [for gib in range(1, 5) : tostring(gib * 1024)]
      "1024" = [for gib in range(2, 9) : tostring(gib * 1024)]
      "2048" = [for gib in range(4, 17) : tostring(gib * 1024)]
      "4096" = [for gib in range(8, 31) : tostring(gib * 1024)]
      "8192" = [for gib in range(16, 61, 4) : tostring(gib * 1024)]
    }, var.cpu, []), var.memory)
    error_message = "cpu and memory: Fargate knows no task of ${var.cpu} CPU units and ${var.memory} MiB, or it is too small: 512 with 1024 to 4096; 1024 with 2048 to 8192; 2048 with 4096 to 16384; 4096; 8192."
  }
}

variable "cpu_architecture" {
  description = "X86_64, or ARM64, which costs a fifth less."
  type        = string
  default     = "X86_64"

  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "cpu_architecture: \"${var.cpu_architecture}\" is not known: X86_64 or ARM64."
  }
}

variable "trust_domain" {
  description = "Trust domain of the relays' identities; cannot change later."
  type        = string
  default     = "ekiden.internal"
}

variable "operator_oidc" {
  description = "Logins of operators beside API tokens: `--operator-oidc-issuer`, `-audience` and `-roles`."
  type = object({
    issuer   = string
    audience = string
    roles    = string
  })
  default = null
}

variable "extra_environment" {
  description = "More variables of the container, such as `OTEL_EXPORTER_OTLP_ENDPOINT` and `HTTPS_PROXY`. No secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.extra_environment), ["EKIDEN_DATABASE_URL", "EKIDEN_DATABASE_DIRECT_URL", "PGPASSWORD"])) == 0
    error_message = "extra_environment: EKIDEN_DATABASE_URL, EKIDEN_DATABASE_DIRECT_URL and PGPASSWORD hold the database's password; it comes from its secret."
  }
}

variable "namespace_name" {
  description = "Cloud Map namespace in which replicas are found by this VPC; empty: `<name>.internal`."
  type        = string
  default     = ""
}

variable "namespace_id" {
  description = "Its id, where it is there already; goes with `namespace_name`."
  type        = string
  default     = ""

  validation {
    condition     = var.namespace_id == "" || var.namespace_name != ""
    error_message = "namespace_name: give it beside namespace_id."
  }
}

variable "alarm_actions" {
  description = "SNS topics that alarms tell."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "Days for which CloudWatch keeps logs."
  type        = number
  default     = 365
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete database and load balancer, and a last snapshot is taken. What is lost with the database cannot be made anew: tenants, keys, the CA."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
  default     = { Application = "ekiden", Module = "control-plane" }
}
