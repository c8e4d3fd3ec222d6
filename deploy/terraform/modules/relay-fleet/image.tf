# What runs is a digest, so that a push to a tag changes no fleet before someone plans and applies.
locals {
  vendors_image = can(regex("(^|/)sysdig/orchestrator-agent([:@]|$)", var.agent_image))
  look_up_image = var.agent_image == "" || local.vendors_image

  image = local.look_up_image ? format("%s.dkr.ecr.%s.%s/%s@%s",
    local.image_registry_id, data.aws_region.current.name, data.aws_partition.current.dns_suffix,
    var.relay_repository, data.aws_ecr_image.relay[0].image_digest
  ) : var.agent_image

  image_registry_id = var.relay_registry_id != "" ? var.relay_registry_id : data.aws_caller_identity.current.account_id

  # The repository that the execution role may pull from; none for a registry outside ECR.
  image_parts = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)", local.image), [])
  image_repository_arns = [
    for parts in [local.image_parts] :
    "arn:${data.aws_partition.current.partition}:ecr:${parts[1]}:${parts[0]}:repository/${parts[2]}" if length(parts) == 3
  ]
}

data "aws_ecr_image" "relay" {
  count = local.look_up_image ? 1 : 0

  registry_id     = local.image_registry_id
  repository_name = var.relay_repository
  image_tag       = var.relay_image_tag
}
