"""Exports one span, one metric and one log record with the OpenTelemetry SDK to a relay found by DNS.

Usage: export.py DNS_SERVER NAME PORT MARKER
"""

import logging
import sys

import dns.resolver
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def resolve(server: str, name: str) -> str:
    host, port = server.rsplit(":", 1)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [host]
    resolver.port = int(port)
    return str(resolver.resolve(name, "A")[0])


def main() -> None:
    server, name, port, marker = sys.argv[1:]
    endpoint = f"http://{resolve(server, name)}:{port}"
    resource = Resource.create({"service.name": "python-workload"})

    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    with tracers.get_tracer("tests").start_as_current_span(f"{marker}-span"):
        pass

    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint, insecure=True))
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    meters.get_meter("tests").create_counter(f"{marker}-metric").add(1)

    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint, insecure=True)))
    logger = logging.getLogger("workload")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=loggers))
    logger.info("%s-log", marker)

    for provider in (tracers, meters, loggers):
        if not provider.force_flush(20_000):
            sys.exit(f"{provider} did not export everything")
        provider.shutdown()


main()
