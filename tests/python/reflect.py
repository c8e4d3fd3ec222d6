"""Uses the admin API knowing nothing but its address: everything else comes from reflection.

Usage: EKIDEN_TOKEN=… reflect.py ADDRESS CA_FILE; prints what it saw as JSON.
"""

import json
import os
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status


def main() -> None:
    address, ca_file = sys.argv[1:]
    with open(ca_file, "rb") as file:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(file.read()))
    database = ProtoReflectionDescriptorDatabase(channel)
    services = sorted(database.get_services())
    method = DescriptorPool(database).FindServiceByName("ekiden.admin.v1.TenantService").FindMethodByName("CreateTenant")
    Request = GetMessageClass(method.input_type)
    Response = GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=Request.SerializeToString,
        response_deserializer=Response.FromString,
    )
    metadata = [("authorization", f"Bearer {os.environ['EKIDEN_TOKEN']}")]

    made = call(Request(tenant_id="from-python"), metadata=metadata, timeout=20)
    error = {}
    try:
        call(Request(tenant_id="Not A Name"), metadata=metadata, timeout=20)
    except grpc.RpcError as refused:
        error["code"] = refused.code().name
        status = rpc_status.from_call(refused)
        for detail in status.details if status else []:
            bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
            if detail.Unpack(bad):
                error["fields"] = [violation.field for violation in bad.field_violations]
            if detail.Unpack(info):
                error["reason"], error["domain"] = info.reason, info.domain
    print(json.dumps({"services": services, "tenant": made.tenant.name, "error": error}))


main()
