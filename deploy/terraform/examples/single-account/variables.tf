variable "region" {
  description = "AWS region."
  type        = string
  default     = "ap-northeast-1"
}

variable "access_key" {
  description = "The vendor's access key, or the ARN of a secret with it."
  type        = string
  sensitive   = true
}

variable "collector_host" {
  description = "The vendor's collector of your region."
  type        = string
  default     = "collector.sysdigcloud.com"
}

variable "relay_image" {
  description = "Image of the relay by digest; empty: ekiden/relay in this account's ECR."
  type        = string
  default     = ""
}
