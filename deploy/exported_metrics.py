"""The metrics that relay and control plane export, read from their sources, under the names that Prometheus gives them.

Names follow https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/: dots become underscores,
a unit and, for counters, `_total` stand at the end. The relay's own /metrics has the same names.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What every series of a process may carry beside its own: Prometheus's own, and what ../deploy/grafana/README.md attaches.
ATTACHED = {"instance", "job", "tenant_id", "fleet_id"}


def relay():
    """Name to kind and labels, of the relay."""
    source = (ROOT / "relay/src/metrics.rs").read_text()
    found = {}
    for body in re.findall(r"Figure \{(.*?)\n\s*\}", source, re.S):
        parts = [re.search(pattern, body) for pattern in (r'name: "(\w+)"', r'unit: "(\w*)"', r"kind: Kind::(\w+)")]
        if all(parts):
            found[parts[0][1]] = (parts[1][1], parts[2][1])
    for name, unit, kind in re.findall(r'one\(\s*"(\w+)",\s*"[^"]*",\s*"(\w*)",\s*Kind::(\w+)', source):
        found[name] = (unit, kind)
    for name, unit in re.findall(r'perhaps\(\s*"(\w+)",\s*"[^"]*",\s*"(\w*)"', source):
        found[name] = (unit, "Gauge")
    for name, unit, kind in re.findall(r'\(\s*"(listener_\w+)",\s*"[^"]*",\s*"(\w*)",\s*Kind::(\w+)', source):
        found[name] = (unit, kind)
    for name, kind in re.findall(r'\(\s*"(collector_\w+)",\s*"[^"]*",\s*Kind::(\w+)', source):
        found[name] = ("", kind)
    labels = set(re.findall(r'\("(listener|collector|cause|reason|signal|code)"', source))
    named = {}
    for name, (unit, kind) in found.items():
        full = "_".join(["ekiden_relay", name, *([unit] if unit else []), *(["total"] if kind == "Counter" else [])])
        named[full] = (kind, labels)
    return named


def control_plane():
    """Name to kind and labels, of the control plane. A histogram is three names."""
    source = (ROOT / "control-plane/src/metrics.rs").read_text()
    names = dict(re.findall(r'pub const (\w+): &str = "([\w.]+)"', (ROOT / "telemetry/src/names.rs").read_text()))
    # Those of the semantic conventions, which names.rs takes by name.
    names |= {"RPC_METHOD": "rpc.method", "RPC_RESPONSE_STATUS_CODE": "rpc.response.status_code", "RPC_SYSTEM_NAME": "rpc.system.name"}
    keys = set(re.findall(r'KeyValue::new\("([\w.]+)"', source)) | {names[name] for name in re.findall(r"KeyValue::new\(names::(\w+)", source)}
    labels = {key.replace(".", "_") for key in keys}
    named = {}
    for make, name in re.findall(r'\b(counter|level|seconds)\(\s*"([\w.]+)"', source):
        full = name.replace(".", "_")
        if make == "counter":
            named[full + "_total"] = ("Counter", labels)
        elif make == "level":
            named[full] = ("Gauge", labels)
        else:
            for part, more in (("bucket", {"le"}), ("sum", set()), ("count", set())):
                named[f"{full}_seconds_{part}"] = ("Histogram", labels | more)
    return named


def exported():
    """All of them. Raises where reading the sources by their looks has gone wrong."""
    of_relay, of_control_plane = relay(), control_plane()
    # The relay's own test says these lines of its text; whoever cannot find them has lost the thread.
    for name in set(re.findall(r'"(ekiden_relay_\w+)[ {]', (ROOT / "relay/src/metrics_tests.rs").read_text())):
        assert name in of_relay, f"{name} is tested in relay/src/metrics_tests.rs and was not found in relay/src/metrics.rs"
    fields = re.search(r"pub struct Metrics \{(.*?)\n\}", (ROOT / "control-plane/src/metrics.rs").read_text(), re.S)[1]
    count = len(re.findall(r"\w+: (?:Counter|Histogram|UpDownCounter)<", fields))
    made = len({re.sub("_seconds_(bucket|sum|count)$", "", name) for name in of_control_plane})
    assert made == count, f"control-plane/src/metrics.rs has {count} instruments, {made} were found"
    return of_relay | of_control_plane


def faults(expression, known):
    """What an expression names that nobody exports, in words."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    names = set(re.findall(r"\b(?:ekiden|rpc)_\w+", re.sub(r"\{[^}]*\}|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)))
    found = [f"{name}: nobody exports it" for name in sorted(names - set(known))]
    if not names:
        found.append(f"no metric of ours in {expression}")
    used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        used |= {label.strip() for label in group.split(",") if label.strip()}
    allowed = ATTACHED.union(*(known[name][1] for name in names if name in known)) if names else ATTACHED
    found += [f"{label}: no label of {', '.join(sorted(names))}" for label in sorted(used - allowed)]
    for name in re.findall(r"\b(?:rate|increase)\(\s*(\w+)", bare):
        if known.get(name, ("Counter",))[0] == "Gauge":
            found.append(f"{name}: goes up and down; it has no rate")
    return found
