locals {
  tasks_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  image_parts = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", local.image), [])
  image_repository_arns = [
    for parts in [local.image_parts] :
    "arn:${local.partition}:ecr:${parts[1]}:${parts[0]}:repository/${parts[2]}" if length(parts) == 3
  ]
}

# What a replica may do: nothing but what the master key's own policy gives it.
resource "aws_iam_role" "task" {
  name_prefix          = "${var.name}-control-plane-"
  description          = "Replicas of ${var.name}"
  max_session_duration = 3600
  assume_role_policy   = local.tasks_trust

  tags = var.tags
}

# What ECS may do to start one.
resource "aws_iam_role" "execution" {
  name_prefix          = "${var.name}-execution-"
  description          = "Starts replicas of ${var.name}"
  max_session_duration = 3600
  assume_role_policy   = local.tasks_trust

  tags = var.tags
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
          Resource = ["${aws_cloudwatch_log_group.control_plane.arn}:*"]
        },
        {
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = [aws_secretsmanager_secret.database_url.arn]
        },
        {
          Effect   = "Allow"
          Action   = ["kms:Decrypt"]
          Resource = [aws_kms_key.storage.arn]
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
    )
  })
}

# The database's own metrics of its machine.
resource "aws_iam_role" "monitoring" {
  name_prefix          = "${var.name}-monitoring-"
  description          = "Enhanced monitoring of the database of ${var.name}"
  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })

  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}
