"""The compose file: a valid one, and no wider open than it says; then faults are planted and expected to be seen."""

import pathlib
import sys

import yaml
from compose_spec import _PyCompose as Compose

HERE = pathlib.Path(__file__).resolve().parents[2] / "config/compose"
TEXT = (HERE / "compose.yml").read_text()


def faults_of(whole):
    try:
        # Merge keys are resolved by the reader of YAML; the specification knows what is left.
        Compose.from_yaml(yaml.safe_dump(whole)).validate()
    except ValueError as error:
        yield str(error)
    for name, service in whole["services"].items():
        if service.get("read_only") is not True or service.get("cap_drop") != ["ALL"]:
            yield f"{name}: not confined"
        if service.get("security_opt") != ["no-new-privileges:true"] or service.get("privileged"):
            yield f"{name}: may gain rights"
        if name != "unhang" and service.get("network_mode") != "service:unhang":
            yield f"{name}: is not in the network namespace of unhang"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"{name}: port {port} is open to others"
        for volume in service.get("volumes", []):
            source, _, rest = volume.partition(":")
            if source.startswith("."):
                if not (HERE / source).exists():
                    yield f"{name}: no {source}"
                if not rest.endswith(":ro"):
                    yield f"{name}: {source} can be written"
            elif source not in whole["volumes"]:
                yield f"{name}: no volume {source}"
    if whole["services"]["unhang"].get("stop_grace_period") != "45s":
        yield "unhang: too little time to stop"


faults = list(faults_of(yaml.safe_load(TEXT)))
planted = [
    ("read_only: true", "reed_only: true"),
    ("cap_drop: [ALL]", "cap_drop: []"),
    ('"127.0.0.1:9090:9090"', '"9090:9090"'),
    ("network_mode: service:unhang", "network_mode: host"),
    ("./unhang.toml:", "./unhung.toml:"),
    ("../prometheus:/etc/prometheus/rules:ro", "../prometheus:/etc/prometheus/rules"),
    ("stop_grace_period: 45s", "stop_grace_period: 10s"),
    ("unhang-data:/data", "data:/data"),
    ("interval: 5s", "interval: soon"),
]
for good, bad in planted:
    assert good in TEXT, good
    if not list(faults_of(yaml.safe_load(TEXT.replace(good, bad)))):
        faults.append(f"NOT SEEN: {bad}")
print("\n".join(faults) or f"the compose file is sound; {len(planted)} planted faults were seen")
sys.exit(bool(faults))
