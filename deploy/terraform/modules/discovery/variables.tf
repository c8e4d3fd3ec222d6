variable "name" {
  description = "Begins the names of what AWS lists by name."
  type        = string
}

variable "vpc_id" {
  description = "VPC whose resolver answers for the namespace."
  type        = string
}

variable "service_name" {
  description = "Name of the fleet's service; workloads resolve `<service_name>.<namespace_name>`."
  type        = string
}

variable "namespace_name" {
  description = "DNS name of the namespace, made or found."
  type        = string
}

variable "namespace_id" {
  description = "Id of a namespace that is there (`ns-…`); empty: one is made."
  type        = string
  default     = ""
}

variable "create_namespace" {
  description = "Whether to make the namespace; absent: when `namespace_id` is empty. Say it where the id is known only after apply."
  type        = bool
  default     = null
}

variable "dns_ttl" {
  description = "Seconds for which resolvers keep a relay's address."
  type        = number
  default     = 10
}

variable "soa_ttl" {
  description = "Seconds for which resolvers keep the answer that a name is not there. Route 53 says 300 unasked, which would hide a fleet's first relay for five minutes."
  type        = number
  default     = 15
}

variable "cell_count" {
  description = "Further services, `cell-1.<service_name>` and so on, for fleets of more than eight relays: a DNS answer holds eight addresses."
  type        = number
  default     = 0
}

variable "registrar_role_arns" {
  description = "Task roles of other accounts that may register their relays here, through a role made for them."
  type        = list(string)
  default     = []
}

variable "registrar_external_id" {
  description = "External id that they must show; at least 16 characters."
  type        = string
  default     = ""

  validation {
    condition     = length(var.registrar_role_arns) == 0 || length(var.registrar_external_id) >= 16
    error_message = "registrar_external_id: registrar_role_arns needs one of at least 16 characters; make it random, one for each customer."
  }
}

variable "tags" {
  description = "Tags of everything here."
  type        = map(string)
  default     = {}
}
