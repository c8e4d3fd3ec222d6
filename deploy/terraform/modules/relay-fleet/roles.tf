locals {
  partition = data.aws_partition.current.partition

  tasks_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      # No other account's ECS may be talked into taking it.
      Condition = { StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id } }
    }]
  })

  # ECS registers and removes; the relay only leaves earlier.
  leaving_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["servicediscovery:DeregisterInstance", "servicediscovery:GetService"]
        Resource = local.services[*].arn
      },
      {
        # These know no resource in IAM; all they do is read.
        Effect   = "Allow"
        Action   = ["servicediscovery:ListInstances", "servicediscovery:GetOperation", "route53:ListHostedZonesByName"]
        Resource = ["*"]
      },
      {
        Effect   = "Allow"
        Action   = ["route53:ChangeResourceRecordSets", "route53:GetHostedZone"]
        Resource = [for module in module.discovery : "arn:${local.partition}:route53:::hostedzone/${module.hosted_zone_id}"]
      },
    ]
  })

  registration_policy = (
    var.namespace_role_arn != "" ? jsonencode({
      Version   = "2012-10-17"
      Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Resource = [var.namespace_role_arn] }]
    }) :
    length(var.discovery_services) > 0 ? jsonencode({
      Version = "2012-10-17"
      Statement = [
        {
          Effect   = "Allow"
          Action   = ["servicediscovery:RegisterInstance", "servicediscovery:DeregisterInstance", "servicediscovery:GetService"]
          Resource = local.services[*].arn
        },
        {
          Effect = "Allow"
          Action = [
            "servicediscovery:ListInstances", "servicediscovery:GetInstancesHealthStatus", "servicediscovery:GetOperation",
            "route53:ListHostedZonesByName", "route53:GetHostedZone",
          ]
          Resource = ["*"]
        },
        {
          # Whoever gives the services does not give their zone.
          Effect   = "Allow"
          Action   = ["route53:ChangeResourceRecordSets"]
          Resource = ["arn:${local.partition}:route53:::hostedzone/*"]
          Condition = { "ForAllValues:StringLike" = {
            "route53:ChangeResourceRecordSetsNormalizedRecordNames" = local.services[*].dns_name
          } }
        },
      ]
    }) :
    local.discovery_mode == "ecs" && local.controlled ? local.leaving_policy : module.discovery[0].registration_policy
  )
}

# What a relay may do. Its ARN is what the control plane's enrollment rule names.
resource "aws_iam_role" "task" {
  name_prefix          = "${substr(var.name, 0, 31)}-relay-"
  description          = "Relays of ${var.name}"
  max_session_duration = 3600
  assume_role_policy   = local.tasks_trust

  tags = local.tags
}

resource "aws_iam_role_policy" "registration" {
  name   = "cloud-map"
  role   = aws_iam_role.task.id
  policy = local.registration_policy
}

# The relay's proof to the control plane: a token of AWS's own that says which role it has, for one audience.
resource "aws_iam_role_policy" "identity" {
  count = local.controlled ? 1 : 0

  name = "identity"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = ["sts:GetWebIdentityToken", "sts:TagGetWebIdentityToken"]
      Resource  = ["*"]
      Condition = { "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = ["spiffe://${var.trust_domain}"] } }
    }]
  })
}

# What ECS may do to start a relay: pull its image, read its secrets, write its logs.
resource "aws_iam_role" "execution" {
  name_prefix          = "${substr(var.name, 0, 27)}-execution-"
  description          = "Starts relays of ${var.name}"
  max_session_duration = 3600
  assume_role_policy   = local.tasks_trust

  tags = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name = "start"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.relay.arn}:*"]
        },
      ],
      [
        for arn in local.image_repository_arns : {
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [arn]
        }
      ],
      [
        for arn in local.image_repository_arns : {
          # It knows no resource in IAM.
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        }
      ],
      length(local.container_secrets) == 0 ? [] : [
        {
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = local.container_secret_arns
        },
      ],
      var.kms_key_arn == "" ? [] : [
        {
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [var.kms_key_arn]
        },
      ],
    )
  })
}
