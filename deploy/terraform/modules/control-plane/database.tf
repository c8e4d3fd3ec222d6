resource "aws_db_subnet_group" "database" {
  name        = var.name
  description = "Database of ${var.name}"
  subnet_ids  = var.subnets

  tags = var.tags
}

resource "aws_db_parameter_group" "database" {
  name_prefix = "${var.name}-"
  family      = "postgres${split(".", var.database_engine_version)[0]}"
  description = "Nothing in plain text"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  # Milliseconds: says in the log what was slow.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  tags = var.tags

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "database" {
  identifier     = var.name
  engine         = "postgres"
  engine_version = var.database_engine_version
  instance_class = var.database_instance_class
  db_name        = "ekiden"
  username       = "ekiden"

  password_wo         = var.database_password
  password_wo_version = var.database_password_version

  storage_type          = "gp3"
  allocated_storage     = var.database_storage_gib
  max_allocated_storage = var.database_storage_gib * 5
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.storage.arn

  multi_az               = var.database_multi_az
  db_subnet_group_name   = aws_db_subnet_group.database.name
  parameter_group_name   = aws_db_parameter_group.database.name
  vpc_security_group_ids = [aws_security_group.database.id]
  publicly_accessible    = false

  backup_retention_period    = var.backup_retention_days
  backup_window              = "17:00-18:00"
  maintenance_window         = "sun:18:30-sun:19:30"
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true
  deletion_protection        = var.deletion_protection
  skip_final_snapshot        = !var.deletion_protection
  final_snapshot_identifier  = "${var.name}-last"

  performance_insights_enabled    = true
  performance_insights_kms_key_id = aws_kms_key.storage.arn
  enabled_cloudwatch_logs_exports = ["postgresql", "upgrade"]
  monitoring_interval             = 60
  monitoring_role_arn             = aws_iam_role.monitoring.arn

  # Else RDS makes its log groups itself, and keeps them for ever.
  depends_on = [aws_cloudwatch_log_group.database]

  tags = var.tags
}

resource "aws_secretsmanager_secret" "database_url" {
  name_prefix = "${var.name}-database-url-"
  description = "How ${var.name} reaches its database, password and all"
  kms_key_id  = aws_kms_key.storage.arn

  tags = var.tags
}

resource "aws_secretsmanager_secret_version" "database_url" {
  secret_id = aws_secretsmanager_secret.database_url.id
  # The roots for verify-full come by PGSSLROOTCERT.
  secret_string_wo = format("postgres://%s:%s@%s:%d/%s?sslmode=verify-full",
    aws_db_instance.database.username, var.database_password,
    aws_db_instance.database.address, aws_db_instance.database.port, aws_db_instance.database.db_name,
  )
  secret_string_wo_version = var.database_password_version
}
