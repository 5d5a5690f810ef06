"""Renders the chart in several ways and the Kustomize base, and looks for faults; then plants faults and expects them seen."""

import copy
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse

import kubernetes_validate
import yaml

TOOLS, BINARY = map(pathlib.Path, sys.argv[1:])
ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "config/kubernetes/helm/unhang"
BASE = ROOT / "config/kubernetes/base"
# The oldest version that the chart takes, and the newest that there are schemas of.
VERSIONS = ["1.27", "1.30", "1.33", "1.37"]
CUSTOM = {"ServiceMonitor", "PrometheusRule"}
# A session of the pages lasts no longer, whatever is done with it.
SESSION_SECONDS = 12 * 3600
# What a replica writes beside a store on a server: the ballast, and a journal.
FOLDER_MIB = 64 + 64

faults = []


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **more)
    return done.returncode, done.stdout, done.stderr


def helm(*args, release="unhang"):
    """What the chart renders to, or why it does not."""
    code, said, why = run(TOOLS / "helm/helm", "template", release, CHART, *args)
    return ([doc for doc in yaml.safe_load_all(said) if doc], None) if code == 0 else (None, why)


def kustomize(folder):
    code, said, why = run(TOOLS / "kubectl/kubectl", "kustomize", folder)
    assert code == 0, why
    return [doc for doc in yaml.safe_load_all(said) if doc]


def services(docs):
    return [doc for doc in docs if doc["kind"] == "Service"]


def one(docs, kind):
    (found,) = (doc for doc in docs if doc["kind"] == kind)
    return found


def workload(docs):
    """A StatefulSet with SQLite, a Deployment with PostgreSQL; never both."""
    (found,) = (doc for doc in docs if doc["kind"] in ("StatefulSet", "Deployment"))
    return found


def variables_of(docs):
    (container,) = workload(docs)["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def schema_faults(docs):
    for doc in docs:
        name = f"{doc['kind']} {doc['metadata']['name']}"
        for version in VERSIONS:
            if doc["kind"] in CUSTOM:
                continue
            try:
                kubernetes_validate.validate(doc, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{name} under {version}: {'.'.join(map(str, error.absolute_path))}: {error.message}"


def pod_faults(docs):
    """The profile "restricted" of the pod security standards, and what this service needs besides."""
    spec = workload(docs)["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    mine = container.get("securityContext", {})
    whole = pod.get("securityContext", {})
    wanted = {
        "non-root": whole.get("runAsNonRoot") is True and whole.get("runAsUser") == 65532,
        "the volume's group": whole.get("fsGroup") == 65532,
        "seccomp": whole.get("seccompProfile") == {"type": "RuntimeDefault"},
        "no escalation": mine.get("allowPrivilegeEscalation") is False,
        "no capabilities": mine.get("capabilities") == {"drop": ["ALL"]},
        "not privileged": "privileged" not in mine and not any(pod.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")),
        "a root that is read only": mine.get("readOnlyRootFilesystem") is True,
        "no token of the cluster": pod.get("automountServiceAccountToken") is False,
        "no service variables": pod.get("enableServiceLinks") is False,
        "time to stop": pod.get("terminationGracePeriodSeconds", 0) >= 45,
        "probes": [container.get(name, {}).get("httpGet", {}).get("path") for name in
                   ("livenessProbe", "readinessProbe", "startupProbe")] == ["/livez", "/readyz", "/readyz"],
        "volume types": all({"emptyDir", "configMap", "secret", "projected"} & set(volume) for volume in pod["volumes"]),
        "a memory limit": "memory" in container["resources"].get("limits", {}),
    }
    yield from (f"the pod lacks: {what}" for what, fine in wanted.items() if not fine)
    # A mount inside a mounted ConfigMap fails at start, so nothing may lie below another but a file.
    mounts = container["volumeMounts"]
    places = [mount["mountPath"] for mount in mounts]
    yield from (f"{b} is mounted inside {a}" for a in places for b in places if b.startswith(a + "/"))
    volumes = {volume["name"] for volume in pod["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])}
    if {mount["name"] for mount in mounts} != volumes:
        yield f"volumes {sorted(volumes)} are not those that are mounted"
    variables = variables_of(docs)
    secure = "UNHANG__SERVER__TLS__CERTIFICATE_FILE" in variables
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        asked = container[probe]["httpGet"]
        if asked["port"] not in ports:
            yield f"no port is called {asked['port']}"
        # The second address is in the clear whatever the first one is; where there is one, it is asked.
        wanted = "HTTPS" if secure and "ops" not in ports else "HTTP"
        if asked.get("scheme", "HTTP") != wanted or asked["port"] != ("ops" if "ops" in ports else "http"):
            yield f"the {probe} asks {asked}, wanted {wanted}"
    for name, variable in (("http", "LISTEN"), ("ops", "OPS_LISTEN")):
        listens = variables.get(f"UNHANG__SERVER__{variable}")
        if listens != (f"0.0.0.0:{ports[name]}" if name in ports else None):
            yield f"the port {name} is {ports.get(name)}, the service listens at {listens}"
    for kind in ("CERTIFICATE", "KEY", "CLIENT_CA"):
        path = variables.get(f"UNHANG__SERVER__TLS__{kind}_FILE")
        if path and "/etc/unhang/tls" not in places:
            yield f"{path} is not mounted"
    if any("subPath" in mount for mount in mounts if mount["name"] == "tls"):
        yield "a renewed certificate would not be seen"


def name_faults(docs):
    """Whoever selects the pod must select it, and what the pod names must be there."""
    runs = workload(docs)
    labels = runs["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "StatefulSet": lambda doc: doc["spec"]["selector"]["matchLabels"],
        "Deployment": lambda doc: doc["spec"]["selector"]["matchLabels"],
        "Service": lambda doc: doc["spec"]["selector"],
        "NetworkPolicy": lambda doc: doc["spec"]["podSelector"]["matchLabels"],
        "PodDisruptionBudget": lambda doc: doc["spec"]["selector"]["matchLabels"],
    }
    for doc in docs:
        wanted = selectors.get(doc["kind"], lambda _doc: labels)(doc)
        if not wanted or not wanted.items() <= labels.items():
            yield f"{doc['kind']} selects {wanted}, the pod is {labels}"
    for doc in (doc for doc in docs if doc["kind"] == "ServiceMonitor"):
        wanted = doc["spec"]["selector"]["matchLabels"].items()
        selected = [service for service in services(docs) if wanted <= service["metadata"]["labels"].items()]
        named = [port["name"] for service in selected for port in service["spec"]["ports"]]
        # With an address of their own the figures are not at the first one.
        if named.count(doc["spec"]["endpoints"][0]["port"]) != 1 or doc["spec"]["endpoints"][0]["port"] != named[-1]:
            yield f"the ServiceMonitor does not select the port of the figures among {named}"
    ports = {port["name"]: port["containerPort"] for port in runs["spec"]["template"]["spec"]["containers"][0]["ports"]}
    served = {port["targetPort"] for service in services(docs) for port in service["spec"]["ports"]}
    if served != set(ports):
        yield f"the Services lead to {served}, the pod has {set(ports)}"
    for doc in (doc for doc in docs if doc["kind"] == "NetworkPolicy" and doc["spec"]["ingress"]):
        let_in = {port["port"] for port in doc["spec"]["ingress"][0]["ports"]}
        if let_in != set(ports.values()):
            yield f"the NetworkPolicy lets in {let_in}, the pod has {ports}"
    for doc in (doc for doc in docs if doc["kind"] == "Ingress"):
        backend = doc["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        led = [service for service in services(docs) if service["metadata"]["name"] == backend["name"]]
        if [port["name"] for service in led for port in service["spec"]["ports"]] != [backend["port"]["name"]]:
            yield f"the Ingress leads to {backend}"
    pod = runs["spec"]["template"]["spec"]
    named = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    if named != [one(docs, "ConfigMap")["metadata"]["name"]]:
        yield f"the pod wants ConfigMap {named}"
    if runs["kind"] == "StatefulSet" and runs["spec"]["serviceName"] != services(docs)[0]["metadata"]["name"]:
        yield "the StatefulSet names another Service"


def store_faults(docs):
    """One process for a store in a file; several for one on a server, each with a folder of its own."""
    url = urllib.parse.urlsplit(variables_of(docs)["UNHANG__STORE__URL"])
    runs = workload(docs)
    if url.scheme == "sqlite":
        claims = {claim["metadata"]["name"] for claim in runs["spec"].get("volumeClaimTemplates", [])}
        if (runs["kind"], runs["spec"]["replicas"]) != ("StatefulSet", 1) or "data" not in claims:
            yield f"a store in a file belongs to one process with a volume, not to {runs['spec']['replicas']} of a {runs['kind']}"
        return
    spec, pod = runs["spec"], runs["spec"]["template"]["spec"]
    variables = variables_of(docs)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
    strategy = spec.get("strategy", {})
    together = strategy == {"type": "Recreate"}
    one_by_one = strategy.get("rollingUpdate") == {"maxUnavailable": 1, "maxSurge": 0}
    room = re.fullmatch(r"([0-9]+)Mi", volumes.get("data", {}).get("emptyDir", {}).get("sizeLimit", ""))
    files = {f"{mounts.get('postgres')}/{item['path']}" for source in volumes.get("postgres", {}).get("projected", {}).get("sources", [])
             for kind in source.values() for item in kind["items"]}
    named = {variables.get("UNHANG__STORE__PASSWORD_FILE")}
    named |= set(urllib.parse.parse_qs(url.query).get("sslrootcert", []))
    apart = {spread["topologyKey"] for spread in pod.get("topologySpreadConstraints", [])
             if spread["labelSelector"]["matchLabels"] == spec["selector"]["matchLabels"]}
    budgets = [doc["spec"].get("maxUnavailable") for doc in docs if doc["kind"] == "PodDisruptionBudget"]
    service = next(doc["spec"] for doc in services(docs) if "http" in [port["name"] for port in doc["spec"]["ports"]])
    kept = service.get("sessionAffinityConfig", {}).get("clientIP", {}).get("timeoutSeconds", 0)
    wanted = {
        "a Deployment of several": runs["kind"] == "Deployment" and spec["replicas"] > 1,
        "a strategy that leaves others at work, or none": together or (strategy.get("type") == "RollingUpdate" and one_by_one),
        "time for the lease to be taken": spec.get("minReadySeconds", 0) >= 10,
        "a folder for each": variables.get("UNHANG__STORE__FOLDER") == mounts.get("data") and room and int(room[1]) > FOLDER_MIB,
        "a name for each": "UNHANG__STORE__REPLICA" not in variables,
        "the files that are named": named == files,
        "replicas apart from each other": "kubernetes.io/hostname" in apart,
        "a budget for a drain": budgets == [1],
        "people who stay logged in": service.get("sessionAffinity") == "ClientIP" and kept >= SESSION_SECONDS,
    }
    yield from (f"with PostgreSQL there is not: {what}" for what, fine in wanted.items() if not fine)
    for doc in (doc for doc in docs if doc["kind"] == "NetworkPolicy"):
        let_out = {port["port"] for rule in doc["spec"]["egress"] for port in rule["ports"]}
        if (url.port or 5432) not in let_out:
            yield f"the NetworkPolicy cuts the database off: it lets out to {let_out}"


def config_faults(docs):
    """The binary itself reads the configuration, with the variables of the pod and example secrets."""
    variables = variables_of(docs)
    text = one(docs, "ConfigMap")["data"]["unhang.toml"]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "unhang.toml"
        config.write_text(text)
        (pathlib.Path(folder) / "secrets").symlink_to(ROOT / "config/example-secrets")
        # What the kubelet would mount.
        tls = pathlib.Path(folder) / "tls"
        variables = {name: value.replace("/etc/unhang/tls", str(tls)) for name, value in variables.items()}
        server = pathlib.Path(folder) / "postgres"
        server.mkdir()
        (server / "password").write_text("a-password-of-an-example\n")
        variables = {name: value.replace("/etc/unhang/postgres", str(server)) for name, value in variables.items()}
        if any(str(tls) in value for value in variables.values()):
            tls.mkdir()
            code, said, why = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                                  "-days", "30", "-subj", "/CN=unhang", "-keyout", tls / "tls.key", "-out", tls / "tls.crt")
            assert code == 0, why
            (tls / "ca.crt").write_text((tls / "tls.crt").read_text())
        code, said, why = run(BINARY, "check-config", "--config", config, env=variables, cwd=folder)
    if code != 0:
        yield f"check-config: {said}{why}"


def rule_faults(docs):
    """The rules of a PrometheusRule are those that ship, and promtool takes them."""
    for doc in (doc for doc in docs if doc["kind"] == "PrometheusRule"):
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            yaml.safe_dump({"groups": doc["spec"]["groups"]}, file)
            code, said, why = run("promtool", "check", "rules", file.name)
        if code != 0:
            yield f"promtool: {said}{why}"
        shipped = []
        for name in ("unhang-alerts", "unhang-recording"):
            shipped += yaml.safe_load((ROOT / f"config/prometheus/{name}.rules.yml").read_text())["groups"]
        if doc["spec"]["groups"] != shipped[: len(doc["spec"]["groups"])]:
            yield "the rules are not those of config/prometheus"


CHECKS = [schema_faults, pod_faults, name_faults, store_faults, config_faults, rule_faults]


def faults_of(docs):
    return [fault for check in CHECKS for fault in check(docs)]


def every_value(folder, store=None):
    """Values that switch everything on and change everything that may be changed."""
    path = pathlib.Path(folder) / ("postgres.yaml" if store else "values.yaml")
    path.write_text(yaml.safe_dump({
        **({"store": {"postgres": store}} if store else {}),
        "image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "registry"}], "fullnameOverride": "nmi",
        "secrets": {"existingSecret": "keys", "env": ["cloud-keys"]},
        "persistence": {"storageClass": "ssd", "accessMode": "ReadWriteOncePod"}, "journal": {"storageClass": "other"},
        "service": {"type": "LoadBalancer", "port": 443, "annotations": {"a": "b"}},
        "tls": {"existingSecret": "door", "clientCa": True}, "ops": {"enabled": True, "port": 9464},
        "ingress": {"enabled": True, "className": "nginx", "host": "unhang.example", "tlsSecret": "front",
                    "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}},
        "serviceAccount": {"annotations": {"a": "b"}}, "podAnnotations": {"a": "b"}, "podLabels": {"team": "ops"},
        "nodeSelector": {"disk": "local"}, "tolerations": [{"key": "ops", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}}, "priorityClassName": "high", "terminationGracePeriodSeconds": 60,
        "networkPolicy": {"extraEgress": [{"ports": [{"protocol": "TCP", "port": 9093}]}]},
        "podDisruptionBudget": {"enabled": True}, "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "recording": True, "labels": {"release": "prometheus"}},
    }))
    return path


def without_names(docs):
    """The pod as both ways render it, but for what they must name differently."""
    spec = workload(docs)["spec"]
    pod = copy.deepcopy(spec["template"]["spec"])
    (container,) = pod["containers"]
    # Lists whose order means nothing here.
    for key in ("env", "ports", "volumeMounts"):
        container[key].sort(key=lambda entry: entry.get("mountPath", entry["name"]))
    pod["volumes"].sort(key=lambda volume: volume["name"])
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        container[probe]["httpGet"].setdefault("scheme", "HTTP")
    for volume in pod["volumes"]:
        if "configMap" in volume:
            volume["configMap"]["name"] = ""
    around = [spec.get(key) for key in ("replicas", "strategy", "minReadySeconds")]
    claims = [claim["spec"] for claim in spec.get("volumeClaimTemplates", [])]
    door = [services(docs)[0]["spec"].get(key) for key in ("sessionAffinity", "sessionAffinityConfig")]
    return pod, around, claims, door, one(docs, "NetworkPolicy")["spec"]["egress"]


def laid(folder, name, components):
    """The base with components over it, in their order."""
    overlay = pathlib.Path(folder) / name
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump({
        "resources": [os.path.relpath(BASE, overlay.resolve())],
        "components": [os.path.relpath(BASE.parent / component, overlay.resolve()) for component in components],
    }))
    return kustomize(overlay)


def told(folder, name, block):
    """An overlay of the README, as it is told there."""
    overlay = pathlib.Path(folder) / name
    overlay.mkdir()
    here = os.path.relpath(BASE.parent, overlay.resolve())
    (overlay / "kustomization.yaml").write_text(block.replace("unhang/config/kubernetes", here))
    (overlay / "unhang.toml").write_text((BASE / "unhang.toml").read_text() + "# mine\n")
    return kustomize(overlay)


POSTGRES = {"url": "postgres://unhang@db.example:5432/unhang?sslmode=verify-full", "existingSecret": "unhang-postgres"}


def postgres(*more, **values):
    """The chart with its store on PostgreSQL."""
    settings = {**POSTGRES, **values}
    return helm(*(word for key, value in settings.items() for word in ("--set", f"store.postgres.{key}={value}")), *more)


with tempfile.TemporaryDirectory() as folder:
    blocks = re.findall(r"```yaml\n(.*?)```", (BASE.parent / "README.md").read_text(), re.DOTALL)
    readme, readme_postgres = blocks
    components = ("tls", "prometheus-operator", "ops", "ingress")
    every_postgres = {**POSTGRES, "url": POSTGRES["url"].replace("5432", "6432"), "passwordKey": "pw", "replicas": 5, "strategy": "Recreate",
                      "ca": {"existingSecret": "authority", "key": "tls.crt"},
                      "egressTo": [{"ipBlock": {"cidr": "10.0.0.5/32"}}]}
    rendered = {
        "base": kustomize(BASE),
        "base with the operator": laid(folder, "operator", ["prometheus-operator"]),
        "base with every component": laid(folder, "whole", components),
        "base with TLS": laid(folder, "secure", ["tls"]),
        "base with PostgreSQL": laid(folder, "postgres", ["postgres"]),
        "base with PostgreSQL and every component": laid(folder, "all", ["postgres", *components]),
        "the README's overlay": told(folder, "told", readme),
        "the README's overlay with PostgreSQL": told(folder, "told-postgres", readme_postgres),
        "chart": helm()[0],
        "chart under another name": helm(release="prod")[0],
        "chart without its options": helm("--set", "journal.enabled=false,networkPolicy.enabled=false,serviceAccount.create=false")[0],
        "chart that lets nobody in": helm("--set-json", "networkPolicy.ingressFrom=[]")[0],
        "chart with TLS": helm("--set", "tls.existingSecret=unhang-tls,serviceMonitor.enabled=true")[0],
        "chart with TLS, as the base has it": helm("--set", "tls.existingSecret=unhang-tls")[0],
        "chart with both, as the base has it": helm("--set", "tls.existingSecret=unhang-tls,ops.enabled=true")[0],
        "chart with every option": helm("--values", every_value(folder))[0],
        "chart with PostgreSQL": postgres()[0],
        "chart with PostgreSQL, as the base has it": postgres(**{"ca.existingConfigMap": "unhang-postgres-ca"})[0],
        "chart with PostgreSQL and both, as the base has it":
            postgres("--set", "tls.existingSecret=unhang-tls,ops.enabled=true", **{"ca.existingConfigMap": "unhang-postgres-ca"})[0],
        "chart with PostgreSQL and every option": helm("--values", every_value(folder, every_postgres))[0],
    }
for way, docs in rendered.items():
    faults += [f"{way}: {fault}" for fault in (faults_of(docs) if docs else ["does not render"])]
for base, chart in [
    ("base", "chart"),
    ("base with TLS", "chart with TLS, as the base has it"),
    ("base with every component", "chart with both, as the base has it"),
    ("base with PostgreSQL", "chart with PostgreSQL, as the base has it"),
    ("base with PostgreSQL and every component", "chart with PostgreSQL and both, as the base has it"),
]:
    if without_names(rendered[base]) != without_names(rendered[chart]):
        faults.append(f"the pod of the {base} is not that of the {chart}")
(endpoint,) = one(rendered["chart with TLS"], "ServiceMonitor")["spec"]["endpoints"]
if endpoint.get("scheme") != "https" or endpoint["tlsConfig"]["serverName"] != "unhang.default.svc":
    faults.append(f"figures behind TLS are scraped by {endpoint}")
for way in ("the README's overlay", "the README's overlay with PostgreSQL"):
    mine = one(rendered[way], "ConfigMap")
    if mine["metadata"]["namespace"] != "unhang" or not mine["data"]["unhang.toml"].endswith("# mine\n"):
        faults.append(f"{way} does not put its own configuration in place")
if workload(rendered["the README's overlay with PostgreSQL"])["spec"]["strategy"] != {"type": "Recreate"}:
    faults.append("the README's overlay with PostgreSQL rolls a changed configuration")
if workload(rendered["chart with PostgreSQL and every option"])["spec"]["strategy"] != {"type": "Recreate"}:
    faults.append("the chart rolls a changed configuration")
(_, _, to_server, *_) = one(rendered["chart with PostgreSQL and every option"], "NetworkPolicy")["spec"]["egress"]
if to_server != {"ports": [{"protocol": "TCP", "port": 6432}], "to": every_postgres["egressTo"]}:
    faults.append(f"the chart lets out to {to_server}")
counts = [len(rendered[way]) for way in
          ("chart with every option", "chart with PostgreSQL and every option", "base with the operator", "base with PostgreSQL")]
if counts != [10, 10, 6, 6]:
    faults.append("an option renders nothing")
if rendered["chart that lets nobody in"] and one(rendered["chart that lets nobody in"], "NetworkPolicy")["spec"]["ingress"] != []:
    faults.append("an empty list of senders lets somebody in")
for more in ([], ["--set", f"store.postgres.url={POSTGRES['url']},store.postgres.existingSecret=pw"]):
    code, said, why = run(TOOLS / "helm/helm", "lint", "--strict", CHART, *more)
    if code != 0:
        faults.append(f"helm lint: {said}{why}")
version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
if (chart["version"], chart["appVersion"]) != (version, version):
    faults.append(f"the chart is of version {chart['version']} for {chart['appVersion']}, the binary {version}")

# What must not be possible.
tcp = "[[policies]]\ncorroborate = [{ kind = \"tcp_closed\", ports = [3389] }]\n"
for args, word in [
    (["--set", "replicas=3"], "replicas"),
    (["--set", "replicaCount=3"], "replicaCount"),
    (["--set", "persistence.accessMode=ReadWriteMany"], "accessMode"),
    (["--set", "persistance.size=1Gi"], "persistance"),
    (["--set", "ingress.enabled=true"], "host"),
    (["--set", "tls.clientCa=true"], "existingSecret"),
    (["--set", "ops.enabled=true,ops.port=8080"], "port"),
    (["--set", "image.digest=latest"], "digest"),
    (["--set", "terminationGracePeriodSeconds=5"], "terminationGracePeriodSeconds"),
    (["--set", f"store.postgres.url={POSTGRES['url']}"], "existingSecret"),
    (["--set", "store.postgres.existingSecret=pw,store.postgres.url=postgres://u:secret@db.example/unhang?sslmode=verify-full"], "url"),
    (["--set", "store.postgres.existingSecret=pw,store.postgres.url=postgres://u@db.example/unhang?sslmode=require"], "url"),
    (["--set", "store.postgres.existingSecret=pw,store.postgres.url=sqlite:///data/unhang.db"], "url"),
    (["--set", "store.postgres.replicas=1"], "replicas"),
    (["--set", "store.postgres.strategy=OnDelete"], "strategy"),
    (["--set", "store.postgres.ca.existingSecret=a,store.postgres.ca.existingConfigMap=b"], "existingConfigMap"),
    (["--set-string", f"config={tcp.replace(',', chr(92) + ',')}"], "tcp_closed"),
]:
    docs, why = helm(*args)
    if docs or word not in why:
        faults.append(f"helm takes {args}: {why}")

# Every check is seen to fail.
planted = {
    "a field that is not there": ("StatefulSet", r"enableServiceLinks:", "enableServiceLink:"),
    "a text for a number": ("Service", r"port: 8080", "port: http"),
    "root": ("StatefulSet", r"runAsUser: 65532", "runAsUser: 0"),
    "a root that can be written": ("StatefulSet", r"readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    "two replicas": ("StatefulSet", r"replicas: 1", "replicas: 2"),
    "the wrong page for a probe": ("StatefulSet", r"path: /livez", "path: /readyz"),
    "a mount in a mount": ("StatefulSet", r"mountPath: /etc/unhang/unhang.toml", "mountPath: /etc/unhang"),
    "a Service for other pods": ("Service", r"instance: unhang", "instance: other"),
    "another ConfigMap": ("ConfigMap", r"name: unhang\b", "name: hung"),
    "a policy in an unknown mode": ("ConfigMap", r'mode = \\?"shadow', 'mode = \\"perhaps'),
    "a secret that is not there": ("ConfigMap", r"secrets/audit-key", "secrets/nothing"),
    "a variable for no key": ("StatefulSet", r"UNHANG__STORE__JOURNAL", "UNHANG__STORE__DIARY"),
}
secure = {
    "a probe in the clear": ("StatefulSet", r"scheme: HTTPS", "scheme: HTTP"),
    "a certificate that is not mounted": ("StatefulSet", r"mountPath: /etc/unhang/tls", "mountPath: /etc/unhang/ssl"),
    "a certificate by itself": ("StatefulSet", r"(mountPath: /etc/unhang/tls)", r"\1\n          subPath: tls.crt"),
    "half a certificate": ("StatefulSet", r"SERVER__TLS__KEY_FILE", "SERVER__TLS__KEYFILE"),
}
on_server = {
    "a store of its own for each replica": ("Deployment", r"value: postgres://\S+", "value: sqlite:///data/unhang.db"),
    "one replica of a Deployment": ("Deployment", r"replicas: 3", "replicas: 1"),
    "a roll that may end all": ("Deployment", r"maxUnavailable: 1", "maxUnavailable: 3"),
    "a roll with a surge": ("Deployment", r"maxSurge: 0", "maxSurge: 1"),
    "a roll and a new beginning in one": ("Deployment", r"type: RollingUpdate", "type: Recreate"),
    "one name for all replicas": ("Deployment", r"UNHANG__STORE__FOLDER", "UNHANG__STORE__REPLICA"),
    "no room for a folder": ("Deployment", r"emptyDir:\n( +)sizeLimit: 256Mi\n( +)name: data",
                             r"emptyDir:\n\1sizeLimit: 64Mi\n\2name: data"),
    "a password that is not mounted": ("Deployment", r"path: password", "path: pass"),
    "an authority that is not mounted": ("Deployment", r"path: ca.crt", "path: ca.pem"),
    "a server that anybody can be": ("Deployment", r"sslmode=verify-full", "sslmode=require"),
    "a password in the address": ("Deployment", r"unhang@db", "unhang:example-of-a-password@db"),
    "all on one node": ("Deployment", r"topologyKey: kubernetes.io/hostname", "topologyKey: kubernetes.io/os"),
    "another's pods to keep away from": ("Deployment", r"(labelSelector:\n +matchLabels:\n +app.kubernetes.io/instance: )unhang", r"\1other"),
    "sessions that wander": ("Service", r"sessionAffinity: ClientIP", "sessionAffinity: None"),
    "sessions that wander after a while": ("Service", r"timeoutSeconds: 43200", "timeoutSeconds: 10800"),
    "a server that is cut off": ("NetworkPolicy", r"port: 5432", "port: 5433"),
    "a drain that may take two": ("PodDisruptionBudget", r"maxUnavailable: 1", "maxUnavailable: 2"),
}
for what, (kind, pattern, change) in [*planted.items(), *secure.items(), *on_server.items()]:
    way = "chart with TLS" if what in secure else "chart with PostgreSQL, as the base has it" if what in on_server else "chart"
    docs = copy.deepcopy(rendered[way])
    text = yaml.safe_dump(one(docs, kind), width=10_000)
    broken = re.sub(pattern, change, text)
    assert broken != text, f"{what} cannot be planted"
    docs = [yaml.safe_load(broken) if doc["kind"] == kind else doc for doc in docs]
    if not faults_of(docs):
        faults.append(f"NOT SEEN: {what}")

print("\n".join(faults) or f"{len(rendered)} renderings are sound under {', '.join(VERSIONS)}; {len(planted) + len(secure) + len(on_server)} planted faults were seen")
sys.exit(bool(faults))
