variable "database_ca_pem" {
  description = "Root certificates of RDS in this region: https://truststore.pki.rds.amazonaws.com/<region>/<region>-bundle.pem. Without them nobody could tell the database from another."
  type        = string

  validation {
    condition     = can(regex("-----BEGIN CERTIFICATE-----", var.database_ca_pem)) && !can(regex("PRIVATE KEY", var.database_ca_pem))
    error_message = "database_ca_pem: it holds no PEM certificate, or a private key."
  }

  validation {
    # A task definition holds 64 KiB in all; each container has the roots.
    condition     = length(var.database_ca_pem) <= 24576
    error_message = "database_ca_pem: ${length(var.database_ca_pem)} bytes are too many for a task definition: take the bundle of the region, not the global one."
  }
}

variable "database_engine_version" {
  description = "Postgres, 15 or later; the minor version is AWS's choice."
  type        = string
  default     = "16"

  validation {
    condition     = try(tonumber(split(".", var.database_engine_version)[0]) >= 15, false)
    error_message = "database_engine_version: \"${var.database_engine_version}\" will not do: 15 or later."
  }
}

variable "database_instance_class" {
  description = "Size of the database."
  type        = string
  default     = "db.t4g.medium"
}

variable "database_storage_gib" {
  description = "Storage at first; it grows by itself to five times that."
  type        = number
  default     = 50

  validation {
    condition     = var.database_storage_gib >= 20
    error_message = "database_storage_gib: RDS begins at 20."
  }
}

variable "database_multi_az" {
  description = "Whether a second database stands by in another zone."
  type        = bool
  default     = true
}

variable "database_password" {
  description = "The database's password, letters and digits alone, best from `ephemeral \"aws_secretsmanager_random_password\"`: it goes to the database and its secret, and into no state. RDS's own managed password would change every seven days under replicas, which read it at their start."
  type        = string
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = can(regex("^[a-zA-Z0-9]{16,99}$", var.database_password))
    error_message = "database_password: 16 to 99 letters and digits are needed."
  }
}

variable "database_password_version" {
  description = "Raise it to take a new `database_password`; replicas are replaced with it."
  type        = number
  default     = 1
}

variable "backup_retention_days" {
  description = "Days back to which the database can be restored."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_retention_days >= 1 && var.backup_retention_days <= 35
    error_message = "backup_retention_days: ${var.backup_retention_days} will not do: RDS keeps 1 to 35 days, and 0 would be none."
  }
}
