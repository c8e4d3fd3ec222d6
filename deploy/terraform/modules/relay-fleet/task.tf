locals {
  log_levels = {
    fatal    = "error"
    critical = "error"
    error    = "error"
    warning  = "warn"
    notice   = "info"
    info     = "info"
    debug    = "debug"
    trace    = "trace"
  }

  # Not chosen between two values: Terraform would make them one type, and false a word.
  extra_conf = yamldecode(trimspace(var.agent_extra_conf) == "" ? "{}" : var.agent_extra_conf)
  log_conf   = merge({ console_priority = var.agent_log_level }, try(local.extra_conf.log, {}))
  conf       = merge(local.extra_conf, { agentino_port = var.orchestrator_port, log = local.log_conf })
  # As people write YAML: Terraform quotes keys.
  conf_yaml = replace(yamlencode(local.conf), "/(?m)^(\\s*)\"([A-Za-z_][A-Za-z0-9_]*)\":/", "$1$2:")

  # Names that the vendor's container knows; a relay heeds them until its control plane has spoken.
  vendor_environment = merge(
    {
      COLLECTOR         = var.collector_host
      COLLECTOR_PORT    = var.collector_port
      CHECK_CERTIFICATE = var.check_collector_certificate
      TAGS              = var.agent_tags
      ADDITIONAL_CONF   = local.conf_yaml
    },
    var.collector_ca_certificate.value == "" ? {} : {
      COLLECTOR_CA_CERTIFICATE_TYPE  = var.collector_ca_certificate.type
      COLLECTOR_CA_CERTIFICATE_VALUE = var.collector_ca_certificate.value
      COLLECTOR_CA_CERTIFICATE_PATH  = var.collector_ca_certificate.path
    },
    var.collector_configuration.ca_certificate == "" ? {} : {
      COLLECTOR_CA_CERTIFICATE = var.collector_configuration.ca_certificate
    },
    var.http_proxy_ca_certificate.value == "" ? {} : {
      HTTP_PROXY_CA_CERTIFICATE_TYPE  = var.http_proxy_ca_certificate.type
      HTTP_PROXY_CA_CERTIFICATE_VALUE = var.http_proxy_ca_certificate.value
      HTTP_PROXY_CA_CERTIFICATE_PATH  = var.http_proxy_ca_certificate.path
    },
    local.proxy.proxy_host == "" ? {} : {
      PROXY_HOST                   = local.proxy.proxy_host
      PROXY_PORT                   = local.proxy.proxy_port
      PROXY_USER                   = local.proxy.proxy_user
      PROXY_SSL                    = local.proxy.ssl
      PROXY_SSL_VERIFY_CERTIFICATE = local.proxy.ssl_verify_certificate
      PROXY_CA_CERTIFICATE         = local.proxy.ca_certificate
    },
  )

  ekiden_environment = merge(
    {
      EKIDEN_STATE_DIR    = "/var/lib/ekiden-relay"
      EKIDEN_STOP_TIMEOUT = tostring(var.stop_timeout)
      EKIDEN_HTTP_LISTEN  = "0.0.0.0:8080"
      EKIDEN_LOG          = local.log_levels[var.agent_log_level]
      EKIDEN_LOG_FORMAT   = "json"
    },
    local.controlled ? { EKIDEN_CONTROL_PLANE = var.control_plane_endpoint } : {
      # With a control plane these are settings of the fleet.
      EKIDEN_CLOUD_MAP_SERVICE_ID = local.services[0].id
      EKIDEN_CLOUD_MAP_DNS_NAME   = local.dns_name
      EKIDEN_CLOUD_MAP_TTL        = tostring(var.dns_ttl)
    },
    local.controlled && var.control_plane_ca_pem != "" ? { EKIDEN_CONTROL_PLANE_CA_PEM = var.control_plane_ca_pem } : {},
    local.controlled && var.tenant != "" && var.fleet != "" ? { EKIDEN_FLEET = "tenants/${var.tenant}/fleets/${var.fleet}" } : {},
  )

  # ECS would tell apart an empty variable and none, and so would a plan.
  environment = { for name, value in merge(local.vendor_environment, local.ekiden_environment, var.extra_environment) : name => value if value != "" }

  ports = concat([var.orchestrator_port], var.listener_ports)

  container = {
    name      = "relay"
    image     = local.image
    essential = true
    user      = "65532:65532"

    environment  = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets      = local.container_secrets
    portMappings = [for port in concat(local.ports, [8080]) : { containerPort = port, hostPort = port, protocol = "tcp" }]

    stopTimeout = var.stop_timeout
    # The image's own check is not looked at by ECS, and it has no shell for CMD-SHELL.
    healthCheck = {
      command     = ["CMD", "/ekiden-relay", "healthcheck"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 30
    }

    readonlyRootFilesystem = true
    mountPoints            = [{ sourceVolume = "state", containerPath = "/var/lib/ekiden-relay", readOnly = false }]
    linuxParameters        = { capabilities = { add = [], drop = ["ALL"] }, initProcessEnabled = false }
    ulimits                = [{ name = "nofile", softLimit = 65535, hardLimit = 65535 }]

    # Never waits for CloudWatch: forwarding comes first.
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.relay.name
        awslogs-region        = data.aws_region.current.name
        awslogs-stream-prefix = "relay"
        mode                  = "non-blocking"
        max-buffer-size       = "4m"
      }
    }
  }
}

resource "aws_cloudwatch_log_group" "relay" {
  name              = "/ekiden/relay/${var.name}"
  retention_in_days = tonumber(var.log_retention_days)
  kms_key_id        = local.kms_key_arn

  tags = local.tags
}

resource "aws_ecs_task_definition" "relay" {
  family                   = "${var.name}-relay"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.container])

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.runtime_platform.cpu_architecture
  }

  volume {
    name = "state"
  }

  # A container that needs a secret does not start before it is there.
  depends_on = [aws_secretsmanager_secret_version.access_key, aws_secretsmanager_secret_version.proxy_password]

  tags = local.tags
}
