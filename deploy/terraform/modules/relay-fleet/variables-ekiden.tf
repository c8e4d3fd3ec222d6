# What the vendor's module does not have. Every default is good for a fleet of its own.

variable "desired_count" {
  description = "Relays; the least of them where `autoscaling` is on."
  type        = number
  default     = 2

  validation {
    condition     = var.desired_count >= 0 && floor(var.desired_count) == var.desired_count
    error_message = "desired_count: ${var.desired_count} is no number of relays."
  }
}

variable "control_plane_endpoint" {
  description = "The control plane, `https://host:port` or `srv:_name._tcp.domain`. Empty: relays run from the vendor's variables alone."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https://[^/:@ ]+(:[0-9]+)?/?|srv:_[^._ ]+\\._[^._ ]+(\\.[^._ ]+)+)?$", var.control_plane_endpoint))
    error_message = "control_plane_endpoint: \"${var.control_plane_endpoint}\" will not do: https://host:port, or srv:_name._tcp.domain."
  }

  validation {
    condition     = var.control_plane_endpoint == "" || (var.tenant != "" && var.fleet != "") || var.enrollment_token_secret_arn != ""
    error_message = "control_plane_endpoint: name tenant and fleet, for relays to join by their task's role, or enrollment_token_secret_arn."
  }
}

variable "control_plane_ca_pem" {
  description = "Root certificates of the control plane in PEM, as `ekidenctl ca roots` prints them. Empty: the public ones."
  type        = string
  default     = ""

  validation {
    condition     = var.control_plane_ca_pem == "" || can(regex("-----BEGIN CERTIFICATE-----", var.control_plane_ca_pem))
    error_message = "control_plane_ca_pem: it holds no PEM certificate."
  }

  validation {
    condition     = !can(regex("PRIVATE KEY", var.control_plane_ca_pem))
    error_message = "control_plane_ca_pem: it holds a private key. Give certificates alone, and replace that key: it was shown to Terraform."
  }
}

variable "tenant" {
  description = "Tenant in the control plane."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z][a-z0-9-]*)?$", var.tenant))
    error_message = "tenant: \"${var.tenant}\" is no id of a tenant: a-z, 0-9 and -, a letter first."
  }
}

variable "fleet" {
  description = "Fleet of that tenant."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z][a-z0-9-]*)?$", var.fleet))
    error_message = "fleet: \"${var.fleet}\" is no id of a fleet: a-z, 0-9 and -, a letter first."
  }
}

variable "trust_domain" {
  description = "The control plane's trust domain (its `EKIDEN_TRUST_DOMAIN`): the only audience for which relays may ask AWS to prove who they are."
  type        = string
  default     = "ekiden.internal"
}

variable "enrollment_token_secret_arn" {
  description = "Secrets Manager secret with an enrollment token, where no rule admits the task's role."
  type        = string
  default     = ""
}

variable "access_key_is_arn" {
  description = "Whether `access_key` is an ARN; absent: by its looks. Say it where the secret is made in the same apply, so that its ARN is not known yet."
  type        = bool
  default     = null
}

variable "relay_repository" {
  description = "ECR repository of the relay's image."
  type        = string
  default     = "ekiden/relay"
}

variable "relay_image_tag" {
  description = "Tag looked up there; what runs is the digest it has at the time of the plan."
  type        = string
  default     = "0.1.0"
}

variable "relay_registry_id" {
  description = "Account of that repository; empty: this one."
  type        = string
  default     = ""
}

variable "stop_timeout" {
  description = "Seconds between SIGTERM and SIGKILL, in which a relay leaves DNS, serves those that still have its address, and finishes. Fargate allows 120."
  type        = number
  default     = 120

  validation {
    condition     = var.stop_timeout >= 2 && var.stop_timeout <= 120 && floor(var.stop_timeout) == var.stop_timeout
    error_message = "stop_timeout: ${var.stop_timeout} will not do: Fargate allows 2 to 120 seconds."
  }
}

variable "dns_ttl" {
  description = "Seconds for which resolvers keep a relay's address. More than about 150 workloads: 30 costs a third of the DNS queries."
  type        = number
  default     = 10

  validation {
    condition     = var.dns_ttl >= 1 && floor(var.dns_ttl) == var.dns_ttl
    error_message = "dns_ttl: ${var.dns_ttl} is no whole number of seconds of at least 1."
  }

  validation {
    condition     = var.dns_ttl <= var.stop_timeout * 2 / 5
    error_message = "dns_ttl: ${var.dns_ttl} s are longer than a relay can serve on after it left DNS: two fifths of stop_timeout, ${floor(var.stop_timeout * 2 / 5)} s. Workloads would dial an address that is gone."
  }
}

variable "soa_ttl" {
  description = "Seconds for which resolvers keep the answer that a name is not there; of a namespace made here."
  type        = number
  default     = 15

  validation {
    condition     = var.soa_ttl >= 1 && var.soa_ttl <= 900
    error_message = "soa_ttl: ${var.soa_ttl} will not do: 1 to 900 seconds."
  }
}

variable "service_name" {
  description = "Name of the fleet in the namespace; empty: `relay`, or `name` in a namespace that others share."
  type        = string
  default     = ""
}

variable "create_namespace" {
  description = "Whether to make the namespace; absent: when `namespace_id` is empty. Say it where the namespace is made in the same apply, so that its id is not known yet."
  type        = bool
  default     = null
}

variable "cell_count" {
  description = "Further names, `cell-1.…` and so on, over which the control plane spreads a fleet of more than eight relays."
  type        = number
  default     = 0

  validation {
    condition     = var.cell_count >= 0 && var.cell_count <= 100 && floor(var.cell_count) == var.cell_count
    error_message = "cell_count: ${var.cell_count} will not do: 0 to 100."
  }

  validation {
    condition     = var.cell_count == 0 || (var.control_plane_endpoint != "" && var.discovery_mode != "ecs")
    error_message = "cell_count: cells need a control plane, which places relays, and discovery_mode self, since ECS registers a service in one place."
  }
}

variable "discovery_mode" {
  description = "Who registers relays in Cloud Map. `self`: each relay, once it can deliver; the control plane has the dead removed. `ecs`: ECS, and the relay only leaves earlier. Absent: `self` with a control plane, `ecs` without one, where nobody else would remove the dead."
  type        = string
  default     = null

  validation {
    condition     = var.discovery_mode == null || contains(["self", "ecs"], coalesce(var.discovery_mode, "self"))
    error_message = "discovery_mode: \"${coalesce(var.discovery_mode, "null")}\" is not known: self or ecs."
  }

  validation {
    condition     = var.discovery_mode != "self" || var.control_plane_endpoint != ""
    error_message = "discovery_mode: self needs a control plane (control_plane_endpoint): without one nobody removes the record of a relay that was killed."
  }
}

variable "discovery_services" {
  description = "Services that are there already, the fleet's own and then its cells, instead of new ones; as the output `services` of the module `discovery` gives them."
  type = list(object({
    id       = string
    arn      = string
    dns_name = string
  }))
  default = []
}

variable "namespace_role_arn" {
  description = "Role in the account of `discovery_services`, where that is another one; relays take it to register."
  type        = string
  default     = ""

  validation {
    condition     = var.namespace_role_arn == "" || can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$", var.namespace_role_arn))
    error_message = "namespace_role_arn: \"${var.namespace_role_arn}\" is no ARN of a role."
  }

  validation {
    condition     = var.namespace_role_arn == "" || (length(var.discovery_services) > 0 && var.control_plane_endpoint != "" && var.discovery_mode != "ecs")
    error_message = "namespace_role_arn: with a namespace in another account give its services in discovery_services, a control plane, and not discovery_mode ecs: ECS registers in its own account alone."
  }
}

variable "namespace_external_id" {
  description = "External id of that role; relays get it from the control plane, with the fleet's settings."
  type        = string
  default     = ""
}

variable "allowed_security_group_ids" {
  description = "Security groups of workloads that may reach relays; then nobody else may. Leave it empty while the vendor's load balancer stands, which has no group of its own."
  type        = list(string)
  default     = []
}

variable "listener_ports" {
  description = "More ports that the fleet's settings listen on. OTLP has 4317 (gRPC) and 4318 (HTTP)."
  type        = list(number)
  default     = [4317, 4318]

  validation {
    condition     = alltrue([for port in var.listener_ports : port >= 1024 && port <= 65535 && port != 8080]) && !contains(var.listener_ports, var.orchestrator_port)
    error_message = "listener_ports: each from 1024 to 65535, neither 8080 nor orchestrator_port."
  }
}

variable "egress_cidr_blocks" {
  description = "Addresses that relays may reach, on the ports that they need: 443, and those of collector, control plane and proxy."
  type        = list(string)
  default     = ["0.0.0.0/0"]
}

variable "egress_ports" {
  description = "More ports that they may reach, such as 6667 of an orchestrator pool."
  type        = list(number)
  default     = []
}

variable "enable_nlb" {
  description = "Keeps the load balancer of the vendor's module beside Cloud Map, or makes one, while workloads move from its name to the new one."
  type        = bool
  default     = false
}

variable "nlb_deletion_protection" {
  description = "Whether AWS refuses to delete that load balancer."
  type        = bool
  default     = false
}

variable "extra_environment" {
  description = "More variables of the container, such as `OTEL_EXPORTER_OTLP_ENDPOINT`, `HTTPS_PROXY` and `NO_PROXY`. No secrets: anyone who may read task definitions reads them."
  type        = map(string)
  default     = {}

  validation {
    condition     = length(setintersection(keys(var.extra_environment), ["ACCESS_KEY", "PROXY_PASSWORD", "EKIDEN_ENROLLMENT_TOKEN"])) == 0
    error_message = "extra_environment: ACCESS_KEY, PROXY_PASSWORD and EKIDEN_ENROLLMENT_TOKEN are secrets; use access_key, http_proxy_configuration and enrollment_token_secret_arn."
  }
}

variable "kms_key_arn" {
  description = "KMS key for logs and secrets; empty: AWS's own. It must admit CloudWatch Logs of this region."
  type        = string
  default     = ""
}

variable "container_insights" {
  description = "Container Insights of the cluster: `disabled`, `enabled` or `enhanced`. Relays report their own health; AWS charges for these."
  type        = string
  default     = "disabled"

  validation {
    condition     = contains(["disabled", "enabled", "enhanced"], var.container_insights)
    error_message = "container_insights: \"${var.container_insights}\" is not known: disabled, enabled or enhanced."
  }
}
