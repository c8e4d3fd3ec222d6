"""Checks prometheus-rules.yaml: that it parses, names only what is exported, and that each alarm speaks when it should.

For each alarm there is a case: series that are good for half an hour and bad for another. It must be silent at the end of
the first, and fire, once and with these labels, at the end of the second. promtool evaluates; without it only names are checked.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import exported_metrics

FLEET = 'tenant_id="acme",fleet_id="tokyo"'
RELAY = FLEET + ',instance="a"'
METHOD = 'rpc_method="ekiden.admin.v1.FleetService/CreateFleet"'
# Alarm: labels beside its severity, then series with values of the good half hour and of the bad one.
CASES = {
    "EkidenFleetNotReady": (FLEET, [(f"ekiden_relay_ready{{{RELAY}}}", "1x29", "0x45"), (f'ekiden_relay_ready{{{FLEET},instance="b"}}', "0x29", "0x45")]),
    "EkidenFleetAlone": (FLEET, [(f"ekiden_relay_ready{{{RELAY}}}", "1x29", "1x45"), (f'ekiden_relay_ready{{{FLEET},instance="b"}}', "1x29", "0x45")]),
    "EkidenRelayNotReady": (RELAY, [(f"ekiden_relay_ready{{{RELAY}}}", "1x29", "0x45")]),
    "EkidenCollectorUnreachable": (
        FLEET + ',collector="c"',
        [(f'ekiden_relay_collector_reachable{{{RELAY},collector="c"}}', "1x29", "0x45"), (f'ekiden_relay_collector_reachable{{{FLEET},instance="b",collector="c"}}', "0x29", "0x45")],
    ),
    "EkidenAccessKeyRefused": (FLEET + ',collector="c"', [(f'ekiden_relay_collector_key_refusals_total{{{RELAY},collector="c"}}', "5x29", "6+1x45")]),
    # 4 % and then 9 %.
    "EkidenExportsFail": (
        FLEET,
        [(f'ekiden_relay_listener_requests_failed_total{{{RELAY},listener="l"}}', "0+4x29", "126+10x45"), (f'ekiden_relay_listener_requests_accepted_total{{{RELAY},listener="l"}}', "0+96x29", "2884+100x45")],
    ),
    "EkidenConnectionsRefused": (FLEET + ',listener="l"', [(f'ekiden_relay_listener_connections_refused_total{{{RELAY},listener="l"}}', "7x29", "8+1x45")]),
    "EkidenOutOfFiles": (RELAY + ',listener="l"', [(f'ekiden_relay_listener_accept_pauses_total{{{RELAY},listener="l"}}', "0x29", "1+1x45")]),
    "EkidenRelaysCrowded": (
        FLEET,
        [(f'ekiden_relay_listener_connections_open{{{RELAY},listener="l"}}', "900x29", "1800x45")]
        + [(f'ekiden_relay_listener_connections_open{{{FLEET},instance="{other}",listener="l"}}', "600x29", "10x45") for other in "bcd"],
    ),
    "EkidenNotInDns": (RELAY, [(f"ekiden_relay_registered{{{RELAY}}}", "1x29", "1x45"), (f"ekiden_relay_in_dns{{{RELAY}}}", "1x29", "0x45")]),
    "EkidenSettingsRejected": (RELAY, [(f"ekiden_relay_settings_rejected_total{{{RELAY}}}", "3x29", "4+1x45")]),
    "EkidenRevisionsApart": (FLEET, [(f"ekiden_relay_settings_revision{{{RELAY}}}", "7x29", "8x45"), (f'ekiden_relay_settings_revision{{{FLEET},instance="b"}}', "7x29", "7x45")]),
    "EkidenSessionLost": (RELAY, [(f"ekiden_relay_session_open{{{RELAY}}}", "1x29", "0x45")]),
    # Time begins at 0 here: 4000 is in 67 minutes.
    "EkidenCertificateEndsSoon": (RELAY, [(f"ekiden_relay_certificate_expiry_time_seconds{{{RELAY}}}", "4000x29", "4000x45")]),
    "EkidenControlPlaneFails": (
        METHOD,
        [(f'rpc_server_call_duration_seconds_count{{{METHOD},rpc_response_status_code="OK"}}', "0+100x29", "3000+90x45"), (f'rpc_server_call_duration_seconds_count{{{METHOD},rpc_response_status_code="UNAVAILABLE"}}', "0+4x29", "126+10x45")],
    ),
    # Of 100 calls a minute all but none, and then all but ten, take less than a second.
    "EkidenControlPlaneSlow": (
        "",
        [(f'rpc_server_call_duration_seconds_bucket{{{METHOD},le="1"}}', "0+100x29", "3000+90x45")] + [(f'rpc_server_call_duration_seconds_bucket{{{METHOD},le="{bound}"}}', "0+100x29", "3000+100x45") for bound in ("5", "+Inf")],
    ),
    "EkidenReportsDropped": ("", [('ekiden_control_plane_health_reports_total{outcome="queue_full"}', "0x29", "1+5x45"), ('ekiden_control_plane_health_reports_total{outcome="stale_epoch"}', "0+5x29", "150+5x45")]),
    # One that healed by itself, and then one that does not.
    "EkidenKeysWait": ('what="keys",reason="KMS_REFUSED"', [('ekiden_control_plane_waits_total{what="keys",reason="KMS_REFUSED"}', "0x9 1x19", "2+1x45")]),
    "EkidenCertificateUsedTwice": ("", [("ekiden_control_plane_session_contests_total", "0x29", "1+1x45")]),
    "EkidenSessionsFell": ("", [('ekiden_control_plane_sessions{instance="a"}', "500x29", "500x25 500-30x19"), ('ekiden_control_plane_sessions{instance="b"}', "480x29", "480x25 480-30x19")]),
    "EkidenHandshakesFail": ('port="relay",cause="tls"', [('ekiden_control_plane_handshake_failures_total{port="relay",cause="tls"}', "0+30x29", "900+120x45")]),
}


def test_of(alarm, severity, labels, series):
    fired = "ALERTS{" + ",".join(part for part in (f'alertname="{alarm}",alertstate="firing",severity="{severity}"', labels) if part) + "}"
    ask = f'ALERTS{{alertname="{alarm}",alertstate="firing"}}'
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": f"{good} {bad}"} for name, good, bad in series],
        "promql_expr_test": [
            {"expr": ask, "eval_time": "29m", "exp_samples": []},
            {"expr": ask, "eval_time": "74m", "exp_samples": [{"labels": fired, "value": 1}]},
        ],
    }


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main():
    file = HERE / "prometheus-rules.yaml"
    rules = [rule for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]]
    known, found, tests = exported_metrics.exported(), [], []
    for rule in rules:
        alarm = rule["alert"]
        found += [f"{alarm}: {fault}" for fault in exported_metrics.faults(rule["expr"], known)]
        if set(rule["annotations"]) != {"summary", "action"} or rule["labels"].get("severity") not in ("page", "ticket"):
            found.append(f"{alarm}: it needs a severity of page or ticket, a summary and an action")
        if alarm not in CASES:
            found.append(f"{alarm}: there is no case for it in deploy/alarms/check.py")
            continue
        labels, series = CASES[alarm]
        told = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        found += [f"{alarm}: it tells of {label}, a label that it does not have" for label in told - set(re.findall(r"(\w+)=", labels))]
        tests.append(test_of(alarm, rule["labels"]["severity"], labels, series))
    found += [f"{alarm}: a case without an alarm" for alarm in set(CASES) - {rule["alert"] for rule in rules}]
    if shutil.which("promtool"):
        with tempfile.TemporaryDirectory() as folder:
            cases = pathlib.Path(folder) / "cases.yaml"
            cases.write_text(yaml.safe_dump({"rule_files": [str(file)], "evaluation_interval": "1m", "tests": tests}))
            found += [fault for fault in (promtool("check", "rules", str(file)), promtool("test", "rules", str(cases))) if fault]
        said = f"{len(rules)} alarms, each seen silent and firing"
    else:
        said = f"{len(rules)} alarms name what is exported; not evaluated, for want of promtool (Debian: prometheus)"
    print("\n".join(found) if found else f"alarms: {said}")
    return 1 if found else 0


sys.exit(main())
