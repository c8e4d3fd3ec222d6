# A secret given in plain goes to Secrets Manager by a write-only argument, which is in no state and no plan; from there
# ECS hands it to the container. One given by its ARN stays where it is.
locals {
  access_key_is_arn     = var.access_key_is_arn != null ? var.access_key_is_arn : nonsensitive(startswith(var.access_key, "arn:"))
  access_key_is_plain   = !local.access_key_is_arn && nonsensitive(var.access_key != "")
  access_key_given      = local.access_key_is_arn || local.access_key_is_plain
  proxy                 = var.http_proxy_configuration
  proxy_password_is_arn = startswith(local.proxy.proxy_password, "arn:")
  proxy_password_given  = local.proxy.proxy_host != "" && local.proxy.proxy_password != ""

  # The first 32 bits of a hash: enough to see that the secret is another one, not enough to find it by.
  access_key_version     = parseint(substr(sha256(var.access_key), 0, 8), 16)
  proxy_password_version = parseint(substr(sha256(local.proxy.proxy_password), 0, 8), 16)

  access_key_secret     = local.access_key_is_plain ? aws_secretsmanager_secret.access_key[0].arn : nonsensitive(var.access_key)
  proxy_password_secret = local.proxy_password_is_arn ? local.proxy.proxy_password : join("", aws_secretsmanager_secret.proxy_password[*].arn)

  container_secrets = concat(
    local.access_key_given ? [{ name = "ACCESS_KEY", valueFrom = local.access_key_secret }] : [],
    local.proxy_password_given ? [{ name = "PROXY_PASSWORD", valueFrom = local.proxy_password_secret }] : [],
    var.enrollment_token_secret_arn != "" ? [{ name = "EKIDEN_ENROLLMENT_TOKEN", valueFrom = var.enrollment_token_secret_arn }] : [],
  )

  # IAM knows the secret alone, not the key, stage and version behind it.
  container_secret_arns = distinct([for secret in local.container_secrets : join(":", slice(split(":", secret.valueFrom), 0, 7))])
}

resource "aws_secretsmanager_secret" "access_key" {
  count = local.access_key_is_plain ? 1 : 0

  name_prefix = "${var.name}-access-key-"
  description = "The vendor's access key for relays of ${var.name}"
  kms_key_id  = local.kms_key_arn

  tags = local.tags
}

resource "aws_secretsmanager_secret_version" "access_key" {
  count = local.access_key_is_plain ? 1 : 0

  secret_id                = aws_secretsmanager_secret.access_key[0].id
  secret_string_wo         = var.access_key
  secret_string_wo_version = local.access_key_version
}

resource "aws_secretsmanager_secret" "proxy_password" {
  count = local.proxy_password_given && !local.proxy_password_is_arn ? 1 : 0

  name_prefix = "${var.name}-proxy-password-"
  description = "Password of the proxy for relays of ${var.name}"
  kms_key_id  = local.kms_key_arn

  tags = local.tags
}

resource "aws_secretsmanager_secret_version" "proxy_password" {
  count = length(aws_secretsmanager_secret.proxy_password)

  secret_id                = aws_secretsmanager_secret.proxy_password[0].id
  secret_string_wo         = local.proxy.proxy_password
  secret_string_wo_version = local.proxy_password_version
}
