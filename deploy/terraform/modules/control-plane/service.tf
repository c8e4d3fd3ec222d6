locals {
  image = var.image != "" ? var.image : format("%s.dkr.ecr.%s.%s/%s@%s",
    local.account, local.region, data.aws_partition.current.dns_suffix, var.repository, data.aws_ecr_image.control_plane[0].image_digest
  )

  environment = merge(
    {
      EKIDEN_DATA_DIR        = "/var/lib/ekiden"
      EKIDEN_RELAY_LISTEN    = "0.0.0.0:${local.relay_port}"
      EKIDEN_OPERATOR_LISTEN = "0.0.0.0:${local.operator_port}"
      EKIDEN_SERVER_NAMES    = join(",", concat(var.server_names, [local.internal_name]))
      EKIDEN_TRUST_DOMAIN    = var.trust_domain
      EKIDEN_MASTER_KEY      = "kms:${aws_kms_key.master.arn}"
      EKIDEN_LOG_FORMAT      = "json"
      PGSSLROOTCERT          = var.database_ca_pem
    },
    var.operator_oidc == null ? {} : {
      EKIDEN_OPERATOR_OIDC_ISSUER   = var.operator_oidc.issuer
      EKIDEN_OPERATOR_OIDC_AUDIENCE = var.operator_oidc.audience
      EKIDEN_OPERATOR_OIDC_ROLES    = var.operator_oidc.roles
    },
    var.extra_environment,
  )

  # The server, the same before it to bring the database to its version, and after it to tell the root certificate.
  container = {
    image       = local.image
    user        = "65532:65532"
    environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets     = [{ name = "EKIDEN_DATABASE_URL", valueFrom = aws_secretsmanager_secret.database_url.arn }]
    # A new password means new replicas.
    dockerLabels = { "ekiden.database-password-version" = tostring(var.database_password_version) }

    readonlyRootFilesystem = true
    mountPoints            = [{ sourceVolume = "data", containerPath = "/var/lib/ekiden", readOnly = false }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] }, initProcessEnabled = false }
    ulimits                = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.control_plane.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "control-plane"
        mode                  = "non-blocking"
        max-buffer-size       = "8m"
      }
    }
  }
}

data "aws_ecr_image" "control_plane" {
  count = var.image == "" ? 1 : 0

  registry_id     = local.account
  repository_name = var.repository
  image_tag       = var.image_tag
}

check "image_digest" {
  assert {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", local.image))
    error_message = "image: ${local.image} is no digest; what runs may change without a plan. Name it as …@sha256:…"
  }
}

resource "aws_ecs_cluster" "control_plane" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }

  tags = var.tags
}

resource "aws_ecs_task_definition" "control_plane" {
  family                   = "${var.name}-control-plane"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn

  container_definitions = jsonencode([
    merge(local.container, {
      name         = "migrate"
      command      = ["migrate"]
      essential    = false
      portMappings = []
    }),
    merge(local.container, {
      name         = "control-plane"
      command      = ["serve"]
      essential    = true
      dependsOn    = [{ containerName = "migrate", condition = "SUCCESS" }]
      portMappings = [for port in values(local.ports) : { containerPort = port, hostPort = port, protocol = "tcp" }]
      stopTimeout  = 60
      healthCheck = {
        command     = ["CMD", "/ekiden-control-plane", "healthcheck"]
        interval    = 10
        timeout     = 8
        retries     = 3
        startPeriod = 60
      }
    }),
    # Prints the root certificate, which relays and operators must trust, into the log: nobody else can get at it first.
    merge(local.container, {
      name         = "root-certificate"
      command      = ["ca"]
      essential    = false
      dependsOn    = [{ containerName = "control-plane", condition = "HEALTHY" }]
      portMappings = []
      environment  = [{ name = "EKIDEN_DATA_DIR", value = "/var/lib/ekiden" }]
      secrets      = []
      mountPoints  = [{ sourceVolume = "data", containerPath = "/var/lib/ekiden", readOnly = true }]
    }),
  ])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "data"
  }

  depends_on = [aws_secretsmanager_secret_version.database_url]

  tags = var.tags
}

resource "aws_ecs_service" "control_plane" {
  name                               = "control-plane"
  cluster                            = aws_ecs_cluster.control_plane.id
  task_definition                    = aws_ecs_task_definition.control_plane.arn
  launch_type                        = "FARGATE"
  desired_count                      = var.desired_count
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  availability_zone_rebalancing      = "ENABLED"
  health_check_grace_period_seconds  = 120
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnets
    security_groups  = [aws_security_group.tasks.id]
    assign_public_ip = false
  }

  service_registries {
    registry_arn = module.discovery.services[0].arn
  }

  dynamic "load_balancer" {
    for_each = local.ports
    content {
      target_group_arn = aws_lb_listener.control_plane[load_balancer.key].default_action[0].target_group_arn
      container_name   = "control-plane"
      container_port   = load_balancer.value
    }
  }

  depends_on = [aws_iam_role_policy.execution]

  tags = var.tags
}
