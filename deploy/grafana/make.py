"""Writes the dashboards from what is listed here; `--check` says whether the files are what would be written.

A panel is a title, what it shows, and queries with their legends. Each query is looked over: what nobody exports does not
get in, and promtool (Debian: prometheus) parses it.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import exported_metrics

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
T, F, R = 'tenant_id="$tenant"', 'tenant_id="$tenant",fleet_id="$fleet"', 'tenant_id="$tenant",fleet_id="$fleet",instance="$relay"'


def rate(metric, match, by=""):
    return f"sum{f' by ({by})' if by else ''} (rate(ekiden_relay_{metric}{{{match}}}[$__rate_interval]))"


def level(metric, match, by="", how="sum"):
    return f"{how}{f' by ({by})' if by else ''} (ekiden_relay_{metric}{{{match}}})"


def panel(title, *queries, kind="timeseries", unit="short", width=8, help="", bad=None, good=None):
    """`bad`, `good`: from which value on a number is red, or below which."""
    return dict(title=title, queries=queries, kind=kind, unit=unit, width=width, help=help, bad=bad, good=good)


def traffic(match, by, legend):
    return [
        panel("From workloads", (rate("listener_received_bytes_total", match, by), legend), unit="Bps"),
        panel("To workloads", (rate("listener_sent_bytes_total", match, by), legend), unit="Bps"),
        panel("Open connections", (level("listener_connections_open", match, by), legend)),
    ]


def trouble(match):
    return [
        panel("Connections that ended badly, by cause", (rate("listener_connections_closed_total", match + ',cause!~"workload_closed|collector_closed|drained|idle_timeout|settings_removed"', "cause"), "{{cause}}"), unit="ops"),
        panel("Exports answered with an error, by gRPC code", (rate("otlp_requests_failed_total", match, "code"), "{{code}}"), unit="reqps"),
        panel("What is wrong or noteworthy", (level("condition", match, "reason"), "{{reason}}"), help="Relays that say so, by reason; `ekidenctl relay watch` has the words."),
    ]


def collectors(match, by, legend):
    return [
        panel("Collectors reached", (level("collector_reachable", match, by, "min"), legend), help="1: by every relay; 0: at least one fails.", width=8),
        panel("Attempts to connect that failed", (rate("collector_dials_failed_total", match, by), legend), unit="ops"),
        panel("Access key refused", (rate("collector_key_refusals_total", match, by), legend), unit="ops"),
    ]


TENANT = [
    panel("Relays that can deliver", (level("ready", T), ""), kind="stat", width=4, good=1),
    panel("Fleets that cannot", (f"count(max by (fleet_id) (ekiden_relay_ready{{{T}}}) == 0) or vector(0)", ""), kind="stat", width=4, bad=1),
    panel("Collectors out of reach", (f"count(max by (collector) (ekiden_relay_collector_reachable{{{T}}}) == 0) or vector(0)", ""), kind="stat", width=4, bad=1),
    panel("Open connections", (level("listener_connections_open", T), ""), kind="stat", width=4),
    panel("Telemetry in", (rate("listener_received_bytes_total", T), ""), kind="stat", unit="Bps", width=4),
    panel("Workloads seen", (f"sum(max by (fleet_id, listener) (ekiden_relay_listener_workloads_seen{{{T}}}))", ""), kind="stat", width=4, help="Of each listener the most that one relay saw in ten minutes: at least as many are there."),
    panel("Relays that can deliver, by fleet", (level("ready", T, "fleet_id"), "{{fleet_id}}"), good=1),
    panel("Exports delivered, by fleet", (rate("listener_requests_accepted_total", T, "fleet_id"), "{{fleet_id}}"), unit="reqps"),
    panel("Spans, points and records delivered", (rate("otlp_items_total", T, "signal"), "{{signal}}"), unit="cps"),
    *traffic(T, "fleet_id", "{{fleet_id}}"),
    *collectors(T, "collector", "{{collector}}"),
    *trouble(T),
]
FLEET = [
    panel("Relays that can deliver", (level("ready", F), ""), kind="stat", width=4, good=2),
    panel("Registered", (level("registered", F), ""), kind="stat", width=4, good=1),
    panel("In DNS", (level("in_dns", F), ""), kind="stat", width=4, good=1, help="An answer holds eight; larger fleets have cells."),
    panel("Sessions", (level("session_open", F), ""), kind="stat", width=4, good=1),
    panel("Revision", (level("settings_revision", F, how="max"), "newest"), (level("settings_revision", F, how="min"), "oldest"), kind="stat", width=4),
    panel("Next certificate ends in", (f"min(ekiden_relay_certificate_expiry_time_seconds{{{F}}}) - time()", ""), kind="stat", unit="s", width=4, good=900),
    *traffic(F, "instance", "{{instance}}"),
    panel("Connections of the fullest relay, to the average", (f"max(sum by (instance) (ekiden_relay_listener_connections_open{{{F}}})) / avg(sum by (instance) (ekiden_relay_listener_connections_open{{{F}}}))", "times"), help="Far above 1: long-lived connections stick to old relays. A maximum age of connections spreads them."),
    panel("Connections refused at a limit", (rate("listener_connections_refused_total", F, "listener"), "{{listener}}"), unit="ops"),
    panel("Exports in error", (f"{rate('listener_requests_failed_total', F)} / ({rate('listener_requests_failed_total', F)} + {rate('listener_requests_accepted_total', F)})", "share"), unit="percentunit"),
    *collectors(F, "collector", "{{collector}}"),
    *trouble(F),
    panel("CPU", (rate("process_cpu_seconds_total", F, "instance"), "{{instance}}"), unit="percentunit", help="Of one vCPU; a task of 256 units has a quarter."),
    panel("Memory", (level("process_resident_memory_bytes", F, "instance"), "{{instance}}"), unit="bytes"),
    panel("Running revision", (level("settings_revision", F, "instance", "max"), "{{instance}}")),
]
RELAY = [
    panel("Can deliver", (level("ready", R, how="max"), ""), kind="stat", width=4, good=1),
    panel("In DNS", (level("in_dns", R, how="max"), ""), kind="stat", width=4, good=1),
    panel("Session", (level("session_open", R, how="max"), ""), kind="stat", width=4, good=1),
    panel("Revision", (level("settings_revision", R, how="max"), ""), kind="stat", width=4),
    panel("Keys' version", (level("secret_version", R, how="max"), ""), kind="stat", width=4),
    panel("Certificate ends in", (f"max(ekiden_relay_certificate_expiry_time_seconds{{{R}}}) - time()", ""), kind="stat", unit="s", width=4, good=900),
    *traffic(R, "listener", "{{listener}}"),
    panel("Connections accepted", (rate("listener_connections_accepted_total", R, "listener"), "{{listener}}"), unit="ops"),
    panel("Connections ended, by cause", (rate("listener_connections_closed_total", R, "cause"), "{{cause}}"), unit="ops"),
    panel("Accepting paused", (rate("listener_accept_pauses_total", R, "listener"), "{{listener}}"), unit="ops", help="For want of file descriptors or memory."),
    panel("Exports", (rate("listener_requests_accepted_total", R, "listener"), "{{listener}} delivered"), (rate("listener_requests_failed_total", R, "listener"), "{{listener}} in error"), unit="reqps"),
    panel("OTLP held while collectors have not answered", (level("otlp_in_flight_bytes", R, how="max"), "bytes"), unit="bytes"),
    panel("OTLP delivered", (rate("otlp_accepted_bytes_total", R, "listener"), "{{listener}}"), unit="Bps"),
    *collectors(R, "collector", "{{collector}}"),
    *trouble(R),
    panel("CPU", (rate("process_cpu_seconds_total", R), "of one vCPU"), unit="percentunit"),
    panel("Memory", (level("process_resident_memory_bytes", R), "resident"), unit="bytes"),
    panel("Open files", (level("process_open_files", R), "of 65,535"), bad=58000),
    panel("Sessions with the control plane", (rate("sessions_opened_total", R), "opened"), (rate("sessions_lost_total", R), "lost"), unit="ops"),
    panel("Settings that failed", (rate("settings_rejected_total", R), "attempts"), unit="ops"),
    panel("Requests to /metrics and the like that broke", (rate("local_http_failed_total", R), ""), unit="ops"),
]
CALLS = 'rpc_server_call_duration_seconds_{}{{rpc_method=~"ekiden.*"}}[$__rate_interval]'
CONTROL_PLANE = [
    panel("Sessions with relays", ("sum(ekiden_control_plane_sessions)", "sessions"), kind="stat", width=6),
    panel("Calls", (f"sum(rate({CALLS.format('count')}))", ""), kind="stat", unit="reqps", width=6),
    panel("One call in a hundred takes", (f"histogram_quantile(0.99, sum by (le) (rate({CALLS.format('bucket')})))", ""), kind="stat", unit="s", width=6),
    panel("Certificates used twice", ("sum(increase(ekiden_control_plane_session_contests_total[1h])) or vector(0)", ""), kind="stat", width=6, bad=1),
    panel("Sessions, by replica", ("sum by (instance) (ekiden_control_plane_sessions)", "{{instance}}")),
    panel("Sessions that ended, by cause", ("sum by (cause) (rate(ekiden_control_plane_session_ends_total[$__rate_interval]))", "{{cause}}"), unit="ops"),
    panel("Connections, by port", ("sum by (port) (ekiden_control_plane_connections)", "{{port}}")),
    panel("Calls, by method", (f"sum by (rpc_method) (rate({CALLS.format('count')}))", "{{rpc_method}}"), unit="reqps"),
    panel("Calls answered with an error, by reason", ("sum by (reason) (rate(ekiden_control_plane_call_errors_total[$__rate_interval]))", "{{reason}}"), unit="reqps"),
    panel("Time to an answer", *((f"histogram_quantile({q}, sum by (le) (rate({CALLS.format('bucket')})))", f"{q}") for q in (0.5, 0.9, 0.99)), unit="s"),
    panel("Health reports, by what became of them", ("sum by (outcome) (rate(ekiden_control_plane_health_reports_total[$__rate_interval]))", "{{outcome}}"), unit="cps"),
    panel("Time to write a batch of them", ("histogram_quantile(0.99, sum by (le) (rate(ekiden_control_plane_health_flush_duration_seconds_bucket[$__rate_interval])))", "0.99"), unit="s"),
    panel("Connections that never became usable", ("sum by (port, cause) (rate(ekiden_control_plane_handshake_failures_total[$__rate_interval]))", "{{port}} {{cause}}"), unit="ops"),
    panel("What waits and is tried again", ("sum by (what, reason) (rate(ekiden_control_plane_waits_total[$__rate_interval]))", "{{what}} {{reason}}"), unit="ops", width=24),
]
# Variables, each asked for within those before it.
ASKED = {"tenant": "tenant_id", "fleet": "fleet_id", "relay": "instance"}
BOARDS = {
    "tenant": ("Ekiden: a tenant", ["tenant"], TENANT),
    "fleet": ("Ekiden: a fleet", ["tenant", "fleet"], FLEET),
    "relay": ("Ekiden: a relay", ["tenant", "fleet", "relay"], RELAY),
    "control-plane": ("Ekiden: the control plane", [], CONTROL_PLANE),
}


def variable(name, before):
    within = ",".join(f'{ASKED[one]}="${one}"' for one in before)
    query = f"label_values(ekiden_relay_ready{{{within}}}, {ASKED[name]})"
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1, "multi": False, "includeAll": False, "hide": 0}


def thresholds(bad, good):
    steps = [{"color": "red" if good is not None else "green" if bad is not None else "text", "value": None}]
    if good is not None or bad is not None:
        steps.append({"color": "green" if good is not None else "red", "value": good if good is not None else bad})
    return {"mode": "absolute", "steps": steps}


def drawn(number, at, one):
    custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False} if one["kind"] == "timeseries" else {}
    shown = (
        {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "multi", "sort": "desc"}}
        if one["kind"] == "timeseries"
        else {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    )
    return {
        "id": number, "type": one["kind"], "title": one["title"], "description": one["help"], "datasource": SOURCE, "gridPos": at,
        "targets": [{"refId": "ABCDEF"[index], "datasource": SOURCE, "expr": expression, "legendFormat": legend or "__auto", "range": True} for index, (expression, legend) in enumerate(one["queries"])],
        "fieldConfig": {"defaults": {"unit": one["unit"], "min": 0, "custom": custom, "thresholds": thresholds(one["bad"], one["good"])}, "overrides": []},
        "options": shown,
    }


def board(name):
    title, variables, panels = BOARDS[name]
    x = y = row = 0
    made = []
    for number, one in enumerate(panels, 1):
        height = 8 if one["kind"] == "timeseries" else 4
        if x + one["width"] > 24:
            x, y = 0, y + row
        row = height
        made.append(drawn(number, {"x": x, "y": y, "w": one["width"], "h": height}, one))
        x += one["width"]
    source = {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1}
    asked = [variable(one, variables[:index]) for index, one in enumerate(variables)]
    return {
        "uid": f"ekiden-{name}", "title": title, "tags": ["ekiden"], "schemaVersion": 39, "version": 1, "editable": True, "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "timezone": "browser", "templating": {"list": [source, *asked]},
        "links": [{"type": "dashboards", "title": "Ekiden", "tags": ["ekiden"], "asDropdown": True, "includeVars": True, "keepTime": True}],
        "annotations": {"list": []}, "panels": made,
    }


def written(made):
    """A line for each panel and each variable: as JSON of its own length nobody would read a change in it."""
    lines = [f'  "{key}": {json.dumps(value)}' for key, value in made.items() if key not in ("panels", "templating")]
    variables = ",\n".join(f"    {json.dumps(one)}" for one in made["templating"]["list"])
    panels = ",\n".join(f"    {json.dumps(one)}" for one in made["panels"])
    lines += [f'  "templating": {{ "list": [\n{variables}\n  ] }}', f'  "panels": [\n{panels}\n  ]']
    return "{\n" + ",\n".join(lines) + "\n}\n"


def faults_of(name, made):
    """Of a dashboard as a file, whoever wrote it."""
    known = exported_metrics.exported()
    ids = [one["id"] for one in made["panels"]]
    if made.get("schemaVersion", 0) < 36 or len(set(ids)) != len(ids) or not made.get("uid"):
        yield f"{name}: schemaVersion, uid or the panels' ids are not right"
    variables = [one["name"] for one in made["templating"]["list"]]
    if variables[:1] != ["datasource"] or made["templating"]["list"][0]["type"] != "datasource":
        yield f"{name}: it has no variable for its data source"
    taken = set()
    for one in made["panels"]:
        at = one["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        if cells & taken or at["x"] + at["w"] > 24:
            yield f"{name}: {one['title']} lies on another panel"
        taken |= cells
        for target in one["targets"]:
            yield from (f"{name}: {one['title']}: {fault}" for fault in exported_metrics.faults(target["expr"], known))
            if target["datasource"]["uid"] != "${datasource}":
                yield f"{name}: {one['title']} does not ask the variable's data source"


def parsed(boards):
    """What promtool says to all queries at once, as if they were rules."""
    stand_ins = {"$__rate_interval": "5m", "$tenant": "t", "$fleet": "f", "$relay": "r"}
    rules = []
    for made in boards:
        for one in made["panels"]:
            for target in one["targets"]:
                expression = target["expr"]
                for name, value in stand_ins.items():
                    expression = expression.replace(name, value)
                rules.append({"record": f"check:number_{len(rules)}", "expr": expression})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump({"groups": [{"name": "check", "rules": rules}]}, file)
        file.flush()
        done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, timeout=60)
    return len(rules), [] if done.returncode == 0 else [done.stderr]


def main():
    check = sys.argv[1:] == ["--check"]
    found, boards = [], []
    for name in BOARDS:
        file, wanted = HERE / f"{name}.json", written(board(name))
        if not check:
            file.write_text(wanted)
        elif not file.exists() or file.read_text() != wanted:
            found.append(f"deploy/grafana/{name}.json is not what deploy/grafana/make.py writes: run it")
            continue
        boards.append(json.loads(file.read_text()))
        found += faults_of(name, boards[-1])
    count, said = parsed(boards) if shutil.which("promtool") else (0, [])
    found += said
    queries = f"{count} queries parse" if count else "queries not parsed, for want of promtool (Debian: prometheus)"
    print("\n".join(found) if found else f"grafana: {len(boards)} dashboards, {queries}")
    return 1 if found else 0


sys.exit(main())
