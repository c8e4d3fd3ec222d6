# What registering takes, of a relay or of whoever registers for it. What Cloud Map does in Route 53 it does with its
# caller's rights: the AWS managed policy AWSCloudMapRegisterInstanceAccess says which.
locals {
  registration_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Instances"
        Effect = "Allow"
        Action = [
          "servicediscovery:RegisterInstance",
          "servicediscovery:DeregisterInstance",
          "servicediscovery:GetService",
        ]
        Resource = local.services[*].arn
      },
      {
        # These know no resource in IAM; all they do is read.
        Sid    = "Reading"
        Effect = "Allow"
        Action = [
          "servicediscovery:ListInstances",
          "servicediscovery:GetInstancesHealthStatus",
          "servicediscovery:GetOperation",
          "route53:ListHostedZonesByName",
        ]
        Resource = ["*"]
      },
      {
        Sid      = "Records"
        Effect   = "Allow"
        Action   = ["route53:ChangeResourceRecordSets", "route53:GetHostedZone"]
        Resource = ["arn:${data.aws_partition.current.partition}:route53:::hostedzone/${local.hosted_zone_id}"]
      },
    ]
  })
}

resource "aws_iam_role" "registrar" {
  count = length(var.registrar_role_arns) > 0 ? 1 : 0

  name_prefix          = "${substr(var.name, 0, 25)}-registrar-"
  description          = "Taken by relays of other accounts to register in ${var.namespace_name}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = var.registrar_role_arns }
      Condition = { StringEquals = { "sts:ExternalId" = var.registrar_external_id } }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy" "registrar" {
  count = length(aws_iam_role.registrar)

  name   = "register"
  role   = aws_iam_role.registrar[0].id
  policy = local.registration_policy
}
