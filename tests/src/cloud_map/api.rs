//! The actions of the API: JSON to state and back, with AWS's checks and error names.
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ApiError,
    state::{Attributes, Change, Operation, RecordKind, Records, Routing, Service, State},
};
use crate::task_role::{ACCOUNT, REGION};

/// Carries out one action.
pub(super) fn act(
    state: &mut State,
    action: &str,
    request: &Value,
    now: Instant,
) -> Result<Value, ApiError> {
    state.settle(now);
    match action {
        "CreatePrivateDnsNamespace" => create_namespace(state, request, now),
        "CreateService" => create_service(state, request),
        "DeleteService" => delete_service(state, request),
        "GetService" => {
            let service = state.service(required(request, "Id")?)?;
            Ok(json!({ "Service": describe(service) }))
        }
        "ListServices" => {
            let services: Vec<Value> = state.services.values().map(describe).collect();
            Ok(json!({ "Services": services }))
        }
        "ListNamespaces" => {
            let namespaces = state
                .namespaces
                .values()
                .map(|one| json!({ "Id": one.id, "Name": one.name, "Type": "DNS_PRIVATE" }));
            Ok(json!({ "Namespaces": namespaces.collect::<Vec<_>>() }))
        }
        "RegisterInstance" => register(state, request, now),
        "DeregisterInstance" => deregister(state, request, now),
        "GetOperation" => get_operation(state, request),
        "GetInstance" => {
            let service = state.service(required(request, "ServiceId")?)?;
            let id = required(request, "InstanceId")?;
            let attributes = service.instances.get(id).ok_or_else(|| instance_not_found(id))?;
            Ok(json!({ "Instance": { "Id": id, "Attributes": attributes } }))
        }
        "ListInstances" => list_instances(state, request),
        "GetInstancesHealthStatus" => health(state, request),
        "UpdateInstanceCustomHealthStatus" => update_health(state, request),
        other => Err(ApiError::new("UnknownOperationException", format!("no action {other}"))),
    }
}

fn create_namespace(state: &mut State, request: &Value, now: Instant) -> Result<Value, ApiError> {
    let name = required(request, "Name")?;
    required(request, "Vpc")?;
    if state.namespaces.values().any(|one| one.name == name) {
        return Err(ApiError::new("NamespaceAlreadyExists", format!("{name} exists")));
    }
    let soa = request.pointer("/Properties/DnsProperties/SOA/TTL").and_then(Value::as_u64);
    let negative_ttl = soa.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(300);
    let namespace = state.provide_namespace(name, negative_ttl);
    Ok(json!({ "OperationId": state.start(Change::CreateNamespace { namespace }, now) }))
}

fn create_service(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let name = required(request, "Name")?;
    let namespace =
        request.get("NamespaceId").or_else(|| request.pointer("/DnsConfig/NamespaceId"));
    let namespace =
        namespace.and_then(Value::as_str).ok_or_else(|| invalid("NamespaceId is missing"))?;
    let id = state.create_service(namespace, name, records(request)?)?;
    Ok(json!({ "Service": describe(state.service(&id)?) }))
}

fn records(request: &Value) -> Result<Records, ApiError> {
    let records = request.pointer("/DnsConfig/DnsRecords").and_then(Value::as_array);
    let Some([record]) = records.map(Vec::as_slice) else {
        return Err(invalid("DnsConfig.DnsRecords should be one record"));
    };
    let kind = match record["Type"].as_str() {
        Some("A") => RecordKind::A,
        Some("AAAA") => RecordKind::Aaaa,
        Some("SRV") => RecordKind::Srv,
        Some("CNAME") => RecordKind::Cname,
        _ => return Err(invalid("DnsRecords[0].Type should be A, AAAA, SRV or CNAME")),
    };
    let ttl = record["TTL"].as_u64().and_then(|ttl| u32::try_from(ttl).ok());
    let ttl = ttl.ok_or_else(|| invalid("DnsRecords[0].TTL should be 0 to 2147483647"))?;
    let routing = match request.pointer("/DnsConfig/RoutingPolicy").and_then(Value::as_str) {
        None | Some("MULTIVALUE") if kind != RecordKind::Cname => Routing::Multivalue,
        Some("WEIGHTED") => Routing::Weighted,
        _ => return Err(invalid("RoutingPolicy should be MULTIVALUE or, for CNAME too, WEIGHTED")),
    };
    Ok(Records { kind, ttl, routing })
}

fn delete_service(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let id = required(request, "Id")?;
    if !state.service(id)?.instances.is_empty() {
        return Err(ApiError::new("ResourceInUse", "the service has instances"));
    }
    state.services.remove(id);
    Ok(json!({}))
}

fn register(state: &mut State, request: &Value, now: Instant) -> Result<Value, ApiError> {
    let service = required(request, "ServiceId")?.to_owned();
    let instance = required(request, "InstanceId")?.to_owned();
    let kind = state.service(&service)?.records.kind;
    if instance.len() > 64 {
        return Err(invalid("InstanceId has more than 64 characters"));
    }
    let given =
        request["Attributes"].as_object().ok_or_else(|| invalid("Attributes are missing"))?;
    let attributes: Attributes = given
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    if attributes.len() != given.len() || attributes.len() > 30 {
        return Err(invalid("Attributes should be at most 30 texts"));
    }
    if attributes.iter().any(|(key, value)| key.len() > 255 || value.len() > 1024) {
        return Err(invalid("an attribute is longer than 255 and 1,024 characters allow"));
    }
    fits(kind, &attributes)?;
    state.check_idle(&service, &instance, true)?;
    Ok(
        json!({ "OperationId": state.start(Change::Register { service, instance, attributes }, now) }),
    )
}

/// Refuses attributes that the service's records cannot be made of.
fn fits(kind: RecordKind, attributes: &Attributes) -> Result<(), ApiError> {
    let has = |key: &str, right: fn(&str) -> bool| {
        if attributes.get(key).is_some_and(|text| right(text)) {
            return Ok(());
        }
        Err(invalid(&format!("{key} is missing or wrong: the service has {kind:?} records")))
    };
    let ipv4 = |text: &str| text.parse::<Ipv4Addr>().is_ok();
    match kind {
        RecordKind::A => has("AWS_INSTANCE_IPV4", ipv4),
        RecordKind::Aaaa => has("AWS_INSTANCE_IPV6", |text| text.parse::<Ipv6Addr>().is_ok()),
        RecordKind::Srv => {
            has("AWS_INSTANCE_IPV4", ipv4)?;
            has("AWS_INSTANCE_PORT", |text| text.parse::<u16>().is_ok())
        }
        RecordKind::Cname => has("AWS_INSTANCE_CNAME", |text| !text.is_empty()),
    }
}

fn deregister(state: &mut State, request: &Value, now: Instant) -> Result<Value, ApiError> {
    let service = required(request, "ServiceId")?.to_owned();
    let instance = required(request, "InstanceId")?.to_owned();
    state.service(&service)?;
    state.check_idle(&service, &instance, false)?;
    if !state.service(&service)?.instances.contains_key(&instance) {
        return Err(instance_not_found(&instance));
    }
    Ok(json!({ "OperationId": state.start(Change::Deregister { service, instance }, now) }))
}

fn get_operation(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let id = required(request, "OperationId")?;
    let operation = state.operations.get(id);
    let Operation { id, change, done, fails, .. } = operation
        .ok_or_else(|| ApiError::new("OperationNotFound", format!("no operation {id}")))?;
    let (kind, targets) = match change {
        Change::CreateNamespace { namespace } => {
            ("CREATE_NAMESPACE", json!({ "NAMESPACE": namespace }))
        }
        Change::Register { service, instance, .. } => {
            ("REGISTER_INSTANCE", json!({ "SERVICE": service, "INSTANCE": instance }))
        }
        Change::Deregister { service, instance } => {
            ("DEREGISTER_INSTANCE", json!({ "SERVICE": service, "INSTANCE": instance }))
        }
    };
    let status = match (*done, *fails) {
        (false, _) => "PENDING",
        (true, false) => "SUCCESS",
        (true, true) => {
            let operation = json!({
                "Id": id, "Type": kind, "Status": "FAIL", "Targets": targets,
                "ErrorCode": "INTERNAL_FAILURE", "ErrorMessage": "the operation failed",
            });
            return Ok(json!({ "Operation": operation }));
        }
    };
    Ok(json!({ "Operation": { "Id": id, "Type": kind, "Status": status, "Targets": targets } }))
}

fn list_instances(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let service = state.service(required(request, "ServiceId")?)?;
    let all = service
        .instances
        .iter()
        .map(|(id, attributes)| json!({ "Id": id, "Attributes": attributes }));
    page(request, all.collect(), "Instances")
}

fn health(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let service = state.service(required(request, "ServiceId")?)?;
    let wanted: Option<Vec<&str>> =
        request["Instances"].as_array().map(|ids| ids.iter().filter_map(Value::as_str).collect());
    if let Some(id) = wanted.iter().flatten().find(|id| !service.instances.contains_key(**id)) {
        return Err(instance_not_found(id));
    }
    let status = service
        .instances
        .keys()
        .filter(|id| wanted.as_ref().is_none_or(|ids| ids.contains(&id.as_str())));
    let status = status.map(|id| {
        let status = if service.unhealthy.contains(id) { "UNHEALTHY" } else { "HEALTHY" };
        (id.clone(), json!(status))
    });
    Ok(json!({ "Status": status.collect::<serde_json::Map<_, _>>() }))
}

fn update_health(state: &mut State, request: &Value) -> Result<Value, ApiError> {
    let id = required(request, "InstanceId")?;
    let status = required(request, "Status")?;
    let service = state.service(required(request, "ServiceId")?)?;
    if !service.instances.contains_key(id) {
        return Err(instance_not_found(id));
    }
    service.unhealthy.retain(|one| one != id);
    if status == "UNHEALTHY" {
        service.unhealthy.push(id.to_owned());
    }
    Ok(json!({}))
}

/// Cuts a list into pages of `MaxResults`; the token is the index that comes next.
fn page(request: &Value, all: Vec<Value>, name: &str) -> Result<Value, ApiError> {
    let size = match &request["MaxResults"] {
        Value::Null => Some(100),
        size => size.as_u64().and_then(|size| usize::try_from(size).ok()),
    };
    let size = size.filter(|size| (1..=100).contains(size));
    let size = size.ok_or_else(|| invalid("MaxResults should be 1 to 100"))?;
    let from = request["NextToken"].as_str().unwrap_or("0").parse::<usize>();
    let from = from.map_err(|_| invalid("NextToken is not one of this list"))?;
    let next = from.saturating_add(size);
    let more = next < all.len();
    let items: Vec<Value> = all.into_iter().skip(from).take(size).collect();
    Ok(if more {
        json!({ name: items, "NextToken": next.to_string() })
    } else {
        json!({ name: items })
    })
}

fn describe(service: &Service) -> Value {
    let kind = match service.records.kind {
        RecordKind::A => "A",
        RecordKind::Aaaa => "AAAA",
        RecordKind::Srv => "SRV",
        RecordKind::Cname => "CNAME",
    };
    let routing = match service.records.routing {
        Routing::Multivalue => "MULTIVALUE",
        Routing::Weighted => "WEIGHTED",
    };
    json!({
        "Id": service.id,
        "Arn": format!("arn:aws:servicediscovery:{REGION}:{ACCOUNT}:service/{}", service.id),
        "Name": service.name,
        "NamespaceId": service.namespace,
        "Type": "DNS_HTTP",
        "InstanceCount": service.instances.len(),
        "DnsConfig": {
            "NamespaceId": service.namespace,
            "RoutingPolicy": routing,
            "DnsRecords": [{ "Type": kind, "TTL": service.records.ttl }],
        },
        "HealthCheckCustomConfig": { "FailureThreshold": 1 },
    })
}

fn required<'a>(request: &'a Value, member: &str) -> Result<&'a str, ApiError> {
    request[member]
        .as_str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| invalid(&format!("{member} is missing")))
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidInput", message)
}

fn instance_not_found(id: &str) -> ApiError {
    ApiError::new("InstanceNotFound", format!("no instance {id}"))
}
