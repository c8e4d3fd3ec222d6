"""Checks what compose.yaml refers to: its own volumes, secrets, configs and services, targets of the Dockerfile, and
variables that the programs read. The schema of compose files is check-jsonschema's part; Docker's own opinion is asked
where its compose is at hand.
"""

import os
import pathlib
import re
import subprocess
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAMS = {"control-plane": ["control-plane/src", "telemetry/src"], "relay": ["relay/src", "telemetry/src"]}


def variables_read(folders):
    text = "".join(file.read_text() for folder in folders for file in (ROOT / folder).rglob("*.rs") if "tests" not in file.name)
    return set(re.findall(r'"(EKIDEN_[A-Z_]+)"', text))


def faults_of(name, service, compose, targets):
    for kind in ("secrets", "configs"):
        yield from (f"{kind}: {one} is not declared" for one in service.get(kind, []) if one not in compose.get(kind, {}))
    volumes = [one.split(":")[0] for one in service.get("volumes", [])]
    yield from (f"volumes: {one} is not declared" for one in volumes if not one.startswith((".", "/")) and one not in compose["volumes"])
    needed = service.get("depends_on", [])
    for one in needed:
        condition = needed[one]["condition"] if isinstance(needed, dict) else "service_started"
        other = compose["services"].get(one)
        if other is None:
            yield f"depends_on: no service {one}"
        # Images of ours have a health check, others' may not.
        elif condition == "service_healthy" and "healthcheck" not in other and "build" not in other:
            yield f"depends_on: {one} never becomes healthy, for it has no health check"
    if not service["image"].startswith("ekiden/"):
        return
    program = service["image"].removeprefix("ekiden/")
    if "build" in service and (service["build"]["target"] != program or program not in targets):
        yield f"build: no target {service['build']['target']} makes {service['image']}"
    known = variables_read(PROGRAMS[program])
    yield from (f"environment: {program} reads no {one}" for one in service.get("environment", {}) if one not in known)
    for port in service.get("ports", []):
        if port.split(":")[-1] not in targets[program]:
            yield f"ports: {program} does not listen on {port.split(':')[-1]}"
    if not service.get("read_only") or service.get("cap_drop") != ["ALL"]:
        yield "its root must be read-only, and all capabilities dropped"


def docker_says():
    """What `docker compose config` says; nothing where there is none. It needs no engine."""
    with_password = os.environ | {"EKIDEN_POSTGRES_PASSWORD": "of-the-check"}
    try:
        if subprocess.run(["docker", "compose", "version"], capture_output=True, timeout=20).returncode != 0:
            return "", "docker compose is not at hand"
    except FileNotFoundError:
        return "", "docker is not at hand"
    ask = ["docker", "compose", "--file", str(HERE / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(ask, capture_output=True, text=True, timeout=20, env=with_password)
    return (done.stderr if done.returncode else ""), "docker compose takes it"


def main():
    compose = yaml.safe_load((HERE / "compose.yaml").read_text())
    stages = re.split(r"^FROM .* AS ", (ROOT / "deploy/images/Dockerfile").read_text(), flags=re.M)[1:]
    targets = {stage.split()[0]: re.findall(r"\d+", (re.findall(r"^EXPOSE (.*)$", stage, re.M) or [""])[0]) for stage in stages}
    found = [f"{name}: {fault}" for name, service in compose["services"].items() for fault in faults_of(name, service, compose, targets)]
    said, opinion = docker_says()
    found += [said] if said else []
    print("\n".join(found) if found else f"compose: {len(compose['services'])} services refer to what is there; {opinion}")
    return 1 if found else 0


sys.exit(main())
