"""What a container of vLLM is started with: the same arguments that the launcher computes.

    python -m serving.launch configs/serving/container-qwen3-32b.yaml --container

Prints image, entrypoint, command and environment as YAML, to be copied into docker-compose.gpu.yml and
configs/k8s/overlays/gpu; `make check-deploy` compares them. Paths in the configuration are the container's.
"""

from __future__ import annotations

from typing import TypedDict

from serving.launch.command import plan, resolve_shape
from serving.launch.config import Config

# The version that `make vllm-env` installs and `make e2e-vllm` runs.
VLLM_VERSION = "0.32.0"
_MODULE = 3  # interpreter, -m, module


class Container(TypedDict):
    """One service of vLLM, in the words of Compose (Kubernetes says command and args)."""

    image: str
    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str]


def render(config: Config) -> Container:
    """The container of a configuration.

    The entrypoint is named, since it has changed between versions of the image. Nobody loads adapters at
    start here: vLLM's resolver finds one by its name when it is first asked for.

    Raises:
        CannotServe: the model does not fit the configured memory.
        ShapeError: its shape is unknown.
    """
    made = plan(config, resolve_shape(config))
    environment = dict(made.environment) | {"HF_HUB_OFFLINE": "1"}
    if config.lora:
        environment |= {
            "VLLM_PLUGINS": "lora_filesystem_resolver",
            "VLLM_LORA_RESOLVER_CACHE_DIR": str(config.lora.adapters),
        }
    return Container(
        image=f"vllm/vllm-openai:v{VLLM_VERSION}",
        entrypoint=["python3", *made.arguments[1:_MODULE]],
        command=list(made.arguments[_MODULE:]),
        environment=environment,
    )
