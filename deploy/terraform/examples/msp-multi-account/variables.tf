variable "region" {
  description = "AWS region."
  type        = string
  default     = "ap-northeast-1"
}

variable "customer_role_arn" {
  description = "Role in the customer's account by which Terraform works there."
  type        = string
}

variable "customer_external_id" {
  description = "External id that this role asks for."
  type        = string
}

variable "server_name" {
  description = "DNS name of the control plane."
  type        = string
}

variable "zone_id" {
  description = "Route 53 zone to make that name in; empty: make it elsewhere."
  type        = string
  default     = ""
}

variable "operator_cidr_blocks" {
  description = "Addresses from which operators come."
  type        = list(string)
}

variable "database_ca_file" {
  description = "Bundle of RDS's roots in this region: https://truststore.pki.rds.amazonaws.com/<region>/<region>-bundle.pem."
  type        = string
}

variable "control_plane_ca_file" {
  description = "What `ekidenctl ca roots` printed; empty at the first apply, when there is none yet."
  type        = string
  default     = ""
}

variable "control_plane_image" {
  description = "Image of the control plane by digest; empty: ekiden/control-plane in the provider's ECR."
  type        = string
  default     = ""
}

variable "relay_image" {
  description = "Image of the relay by digest; empty: ekiden/relay in the customer's ECR."
  type        = string
  default     = ""
}

variable "alarm_actions" {
  description = "SNS topics that alarms tell."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the database and the load balancer."
  type        = bool
  default     = true
}
