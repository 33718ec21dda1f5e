"""Checks the deployment files against the public schemas and against the code: `make check-deploy`.

Schemas: compose specification, Kubernetes API, KEDA's resource definition, hadolint; where `kubectl` is
there, every overlay is also rendered. Against the code: every SMARTSTORE_*
variable, command, port, probe path, config path, image and metric is one that exists, every image
is pinned, and vLLM is started as `serving` would start it. Prints each fault on a line; exit status 1
when there is one.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer
import yaml
from pydantic import BaseModel

from api.cli import app as smartstore
from api.cli import mount
from api.observability.metrics import Metrics
from api.settings import ENV_PREFIX, Settings
from serving.launch.config import load_config
from serving.launch.container import render

ROOT = Path(__file__).resolve().parent.parent.parent
TOOLS = ("check-jsonschema", "hadolint", "kubernetes-validate", "kubectl kustomize")
COMPOSE = ("docker-compose.yml", "docker-compose.gpu.yml")
BIN = Path(sys.executable).parent
KEDA = Path(__file__).parent / "schemas" / "keda-scaledobject.json"
PORTS = {"api": 8000, "worker": 9100}
PATHS = {"/health", "/ready", "/metrics"}
_PINNED = re.compile(r"^[^:@\s]+(:[^@\s]+)?(@sha256:[0-9a-f]{64})?$")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")
VLLM = {
    "vllm": "configs/serving/container-qwen3-32b.yaml",
    "embedder": "configs/serving/container-bge-m3.yaml",
}
_METRIC = re.compile(r"smartstore_[a-z_]+")


def check(root: Path = ROOT, *, tools: Collection[str] = TOOLS) -> list[str]:
    """Every fault of the deployment files under `root`, one a line; empty when all is well.

    The public `tools` take most of the time.
    """
    faults = [*_schemas(root, tools)]
    try:
        faults += [*_compose(root), *_kubernetes(root), *_vllm(root), *_observability(root)]
    except (yaml.YAMLError, KeyError, TypeError, OSError, json.JSONDecodeError) as exc:
        faults.append(f"cannot be read: {exc!r}")
    return faults


def _schemas(root: Path, tools: Collection[str]) -> Iterator[str]:
    compose = [str(root / name) for name in COMPOSE]
    scaled = [path for path in _manifests(root) if path.name == "scaled-objects.yaml"]
    manifests = [str(path) for path in _manifests(root) if path not in scaled]
    if "check-jsonschema" in tools:
        yield from _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *compose)
        with TemporaryDirectory() as folder:
            yield from _run("check-jsonschema", "--schemafile", str(KEDA), *_split(scaled, Path(folder)))
    if "hadolint" in tools:
        yield from _run("hadolint", str(root / "configs/docker/Dockerfile"))
    if "kubernetes-validate" in tools:
        yield from _run("kubernetes-validate", "--strict", "--quiet", *manifests)
    if "kubectl kustomize" in tools:
        yield from _rendered(root)


def _split(files: Iterable[Path], folder: Path) -> Iterator[str]:
    """Each document in a file of its own: the schema is one of a single document."""
    for file in files:
        for n, document in enumerate(yaml.safe_load_all(file.read_text())):
            path = folder / f"{file.stem}-{n}.json"
            path.write_text(json.dumps(document))
            yield str(path)


def _rendered(root: Path) -> Iterator[str]:
    """What kustomize makes of each overlay: it renders, and nothing is scaled by two autoscalers."""
    kubectl = shutil.which("kubectl")
    for overlay in sorted((root / "configs/k8s/overlays").iterdir()) if kubectl else ():
        done = subprocess.run(
            [str(kubectl), "kustomize", overlay], capture_output=True, text=True, check=False
        )
        where = overlay.relative_to(root)
        if done.returncode:
            yield f"{where}: kubectl kustomize: {done.stderr.strip()[-1500:]}"
            continue
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        workloads = {(document["kind"], document["metadata"]["name"]) for document in documents}
        scaled = [
            (target["kind"], target["name"])
            for document in documents
            if document["kind"] in ("ScaledObject", "HorizontalPodAutoscaler")
            for target in [document["spec"]["scaleTargetRef"]]
        ]
        for kind, name in sorted(set(scaled)):
            if (kind, name) not in workloads:
                yield f"{where}: scales {kind} {name}, which is not there"
            if scaled.count((kind, name)) > 1:
                yield f"{where}: two autoscalers of {kind} {name}"


def _run(tool: str, *arguments: str) -> Iterator[str]:
    done = subprocess.run([BIN / tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"{tool}: {(done.stdout + done.stderr).strip()[-1500:]}"


def _manifests(root: Path) -> list[Path]:
    files = sorted((root / "configs/k8s").rglob("*.yaml"))
    return [path for path in files if path.name != "kustomization.yaml"]


def _compose(root: Path) -> Iterator[str]:
    stacks = {name: yaml.safe_load((root / name).read_text()) for name in COMPOSE}
    services = {**stacks[COMPOSE[0]]["services"]}
    known = set(services) | set(stacks[COMPOSE[1]]["services"])
    for needed in ("api", "worker", "index", "redis", "rabbitmq", "milvus", "etcd", "minio"):
        if needed not in services:
            yield f"{COMPOSE[0]}: service {needed} is missing"
    for file, stack in stacks.items():
        for name, service in stack["services"].items():
            where = f"{file}: {name}"
            yield from _image(
                where, service.get("image", ""), needed="build" not in service and name in services
            )
            yield from _variables(where, service.get("environment") or {})
            for other in service.get("depends_on") or {}:
                if other not in known:
                    yield f"{where}: depends on {other}, which no file has"
            for volume in service.get("volumes") or []:
                source = str(volume).split(":", 1)[0]
                if source.startswith("./configs") and not (root / source).exists():
                    yield f"{where}: mounts {source}, which is not there"
    for name, port in PORTS.items():
        yield from _command(f"{COMPOSE[0]}: {name}", services.get(name, {}).get("command") or ["serve"])
        if name == "api" and not str(services.get(name, {}).get("ports", [""])[0]).endswith(f":{port}"):
            yield f"{COMPOSE[0]}: {name} does not publish port {port}"


def _image(where: str, image: str, *, needed: bool = True) -> Iterator[str]:
    if not image:
        if needed and "docker-compose.yml" in where:
            yield f"{where}: has no image"
        return
    pinned = _PINNED.match(image)
    tag = (pinned and (pinned[2] or pinned[1])) or ""
    if not tag or tag == ":latest":
        yield f"{where}: image {image} has no version"


def _variables(where: str, variables: Mapping[str, Any]) -> Iterator[str]:
    for name in variables:
        if name.startswith(ENV_PREFIX) and not _is_setting(name.removeprefix(ENV_PREFIX).lower().split("__")):
            yield f"{where}: {name} is no setting"


def _is_setting(parts: list[str]) -> bool:
    model: type[BaseModel] = Settings
    for n, part in enumerate(parts):
        if part not in model.model_fields:
            return False
        kind = model.model_fields[part].annotation
        if part == "endpoints":
            from api.settings import Endpoint

            return len(parts) == n + 3 and parts[n + 2] in Endpoint.model_fields
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return n == len(parts) - 1
        model = kind
    return False


def _vllm(root: Path) -> Iterator[str]:
    """The containers of vLLM against what `serving` renders from their configurations."""
    services = yaml.safe_load((root / COMPOSE[1]).read_text())["services"]
    pods = {
        container["name"]: container
        for where, document in _documents(root)
        if document["kind"] == "Deployment" and "overlays/gpu" in where
        for container in document["spec"]["template"]["spec"]["containers"]
    }
    for name, file in VLLM.items():
        wanted = dict(render(load_config(root / file)))
        service, pod = services[name], pods[name]
        started = {
            COMPOSE[1]: {key: service.get(key) for key in wanted},
            "configs/k8s/overlays/gpu": {
                "image": pod["image"],
                "entrypoint": pod.get("command"),
                "command": pod.get("args"),
                "environment": {e["name"]: e["value"] for e in pod["env"] if e["name"] != "HOME"},
            },
        }
        for where, found in started.items():
            for key, value in wanted.items():
                if _substituted(found[key]) != value:
                    command = f"python -m serving.launch {file} --container"
                    yield f"{where}: {name}: {key} is not what `{command}` prints"


def _substituted(value: Any) -> Any:
    """The value with the defaults of Compose's variables in their places."""
    return json.loads(_VARIABLE.sub(r"\1", json.dumps(value)))


def _documents(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in _manifests(root):
        for document in yaml.safe_load_all(path.read_text()):
            if document:
                yield str(path.relative_to(root)), document


def _kubernetes(root: Path) -> Iterator[str]:
    for folder in (root / "configs/k8s").rglob("kustomization.yaml"):
        body = yaml.safe_load(folder.read_text())
        for name in [
            *body.get("resources", []),
            *(patch["path"] for patch in body.get("patches", []) if "path" in patch),
        ]:
            if not (folder.parent / name).exists():
                yield f"{folder.relative_to(root)}: {name} is not there"
    images = yaml.safe_load((root / "configs/k8s/base/kustomization.yaml").read_text()).get("images", [])
    tagged = {image["name"]: image.get("newTag") or image.get("digest") for image in images}
    kinds = set()
    for where, document in _documents(root):
        kinds.add((document["kind"], document["metadata"]["name"]))
        if document["kind"] == "ConfigMap":
            yield from _variables(where, document["data"])
        spec = document.get("spec", {})
        if document["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if document["kind"] in ("Deployment", "Job", "CronJob"):
            yield from _pod(where, spec["template"]["spec"], tagged)
        if document["kind"] == "HorizontalPodAutoscaler":
            yield from _autoscaler(where, document)
        if document["kind"] == "ScaledObject":
            for trigger in document["spec"]["triggers"]:
                for name in set(_METRIC.findall(trigger["metadata"].get("query", ""))) - _metric_names():
                    yield f"{where}: scales on {name}, which is no metric"
    for needed in [("Deployment", "api"), ("Deployment", "worker"), ("Service", "api"), ("Ingress", "api"),
                   ("CronJob", "corpus-sync")]:  # fmt: skip
        if needed not in kinds:
            yield f"configs/k8s/base: {' '.join(needed)} is missing"


def _pod(where: str, spec: Mapping[str, Any], tagged: Mapping[str, str]) -> Iterator[str]:
    for container in spec["containers"]:
        name, image = container["name"], container["image"]
        if not (tagged.get(image) not in (None, "latest") if image in tagged else False):
            yield from _image(f"{where}: {name}", image)
        yield from _variables(f"{where}: {name}", {e["name"]: None for e in container.get("env", [])})
        if name in PORTS:
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            if PORTS[name] not in ports.values():
                yield f"{where}: {name} listens on {PORTS[name]}, not {sorted(ports.values())}"
        if image in tagged:
            yield from _command(f"{where}: {name}", container.get("args", ["serve"]))
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container.get(probe, {}).get("httpGet", {}).get("path")
            if path is not None and path not in PATHS:
                yield f"{where}: {name} probes {path}, which is no route"


def _command(where: str, arguments: list[str]) -> Iterator[str]:
    """Whether `smartstore` has these commands and options; nothing is run."""
    mount()
    command: Any = typer.main.get_command(smartstore)
    for argument in arguments:
        if hasattr(command, "commands"):
            command = command.commands.get(argument)
            if command is None:
                break
        elif argument.startswith("--") and argument not in {o for p in command.params for o in p.opts}:
            break
    else:
        return
    yield f"{where} runs `smartstore {' '.join(arguments)}`: {argument} is no command or option of it"


def _autoscaler(where: str, document: Mapping[str, Any]) -> Iterator[str]:
    for metric in document["spec"]["metrics"]:
        if metric["type"] == "Pods" and metric["pods"]["metric"]["name"] not in _metric_names():
            yield f"{where}: scales on {metric['pods']['metric']['name']}, which is no metric"


def _metric_names() -> set[str]:
    names = set()
    for family in Metrics().registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
            family.type, ("",)
        )
        names |= {family.name + suffix for suffix in suffixes}
    return names


def _observability(root: Path) -> Iterator[str]:
    known = _metric_names()
    for file in ("dashboards/smartstore.json", "alerts.yml"):
        text = (root / "configs/observability" / file).read_text()
        for name in sorted(set(_METRIC.findall(text)) - known):
            yield f"configs/observability/{file}: {name} is no metric"
    json.loads((root / "configs/observability/dashboards/smartstore.json").read_text())
    rules = yaml.safe_load((root / "configs/observability/prometheus.yml").read_text())["rule_files"]
    for rule in rules:
        if not (root / "configs/observability" / rule).exists():
            yield f"configs/observability/prometheus.yml: {rule} is not there"


def main() -> int:
    """Prints the faults; returns the exit status."""
    faults = check()
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults in the deployment files")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
