variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnets" {
  description = "Its subnets."
  type        = list(string)
}

variable "access_key" {
  description = "The vendor's access key."
  type        = string
  sensitive   = true
}

variable "proxy_password" {
  description = "The proxy's password."
  type        = string
  sensitive   = true
}

variable "collector_ca_pem" {
  description = "The collector's CA."
  type        = string
}

variable "proxy_ca_pem" {
  description = "The proxy's CA."
  type        = string
}
