"""Opens the base model and its tokenizer as a configuration says. Knows no data and no training."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune.config import Config
from finetune.errors import FinetuneError

_PACKAGES = ("torch", "transformers", "peft", "trl", "datasets", "accelerate")
_ENVIRONMENT = Path(".venv-finetune/bin/python")


def require_packages(command: str, config_file: Path, config: Config | None = None) -> None:
    """Checks that this interpreter can train, before anything is imported.

    Args:
        command: the module of `finetune` that was started.
        config_file: its configuration, for the command to copy.
        config: read, where 4-bit loading needs a further package.

    Raises:
        FinetuneError: names what is missing and the whole command to use.
    """
    wanted = [*_PACKAGES, *(["bitsandbytes"] if config and config.model.load_in_4bit else [])]
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise FinetuneError(
            f"{', '.join(missing)} not installed here; training has an environment of its own: run "
            f"`make finetune-env`, then `{_ENVIRONMENT} -m finetune.{command} --config {config_file}`"
        )


def open_tokenizer(base: str) -> Any:
    """The base's tokenizer.

    Raises:
        FinetuneError: there is none, or it has no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError) as exc:
        raise FinetuneError(f"model.base {base!r}: its tokenizer cannot be loaded ({exc})") from exc
    if not tokenizer.chat_template:
        raise FinetuneError(f"model.base {base!r}: its tokenizer has no chat template")
    return tokenizer


def open_base(config: Config) -> Any:
    """Loads the base model in the configured precision, on the configured device.

    With FSDP it is loaded on the CPU, by the first process alone, and sharded by the trainer.

    Raises:
        FinetuneError: it cannot be loaded.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    chosen = config.model
    options: dict[str, Any] = {"dtype": getattr(torch, chosen.dtype), "attn_implementation": chosen.attention}
    if chosen.load_in_4bit:
        options["quantization_config"] = _four_bit(config)
    if not config.hardware.fsdp:
        options["device_map"] = {"": 0 if config.hardware.device == "cuda" else "cpu"}
    try:
        if not chosen.random_weights:
            return AutoModelForCausalLM.from_pretrained(chosen.base, **options)
        shape = AutoConfig.from_pretrained(str(chosen.shape or Path(chosen.base) / "config.json"))
        if chosen.load_in_4bit:
            return _random_four_bit(shape, config, options["quantization_config"])
        with torch.device(config.hardware.device):
            return AutoModelForCausalLM.from_config(
                shape, dtype=options["dtype"], attn_implementation=chosen.attention
            )
    except (OSError, ValueError, ImportError) as exc:
        raise FinetuneError(f"model.base {chosen.base!r} cannot be loaded: {exc}") from exc


def _four_bit(config: Config) -> Any:
    """Doubly quantised nf4 (Dettmers et al. 2023, arXiv:2305.14314)."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, config.model.dtype),
    )


def _random_four_bit(shape: Any, config: Config, quantization: Any) -> Any:
    """Random weights in 4 bit, made and compressed one module at a time: the whole in bf16 would not fit."""
    import bitsandbytes
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoModelForCausalLM
    from transformers.quantizers import AutoHfQuantizer

    dtype = getattr(torch, config.model.dtype)
    device = "cuda" if config.hardware.device == "cuda" else "cpu"
    # Buffers are made for real: nobody would fill in the rotary frequencies afterwards.
    with init_empty_weights(include_buffers=False):
        model = AutoModelForCausalLM.from_config(
            shape, dtype=dtype, attn_implementation=config.model.attention
        )
        quantizer = AutoHfQuantizer.from_config(quantization)
        quantizer.preprocess_model(model=model, device_map={"": device})
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            values = torch.randn(parameter.shape, dtype=dtype, device=device) * 0.02
            if isinstance(module, bitsandbytes.nn.Linear4bit) and name == "weight":
                module.weight = bitsandbytes.nn.Params4bit(
                    values, requires_grad=False, quant_type="nf4", compress_statistics=True, module=module
                ).to(device)
            else:
                setattr(module, name, torch.nn.Parameter(values, requires_grad=False))
    model.tie_weights()
    model.hf_quantizer, model.is_quantized, model.is_loaded_in_4bit = quantizer, True, True
    return model.to(device)


def device_memory(config: Config) -> float | None:
    """Bytes a device of this machine really has; None where there is none of the kind."""
    import torch

    if config.hardware.device == "cuda":
        if not torch.cuda.is_available():
            return None
        return float(torch.cuda.get_device_properties(0).total_memory)
    pages = Path("/proc/meminfo")
    if not pages.exists():
        return None
    return float(pages.read_text(encoding="utf-8").split("MemTotal:")[1].split()[0]) * 1024


def require_device(config: Config) -> None:
    """Raises `FinetuneError` where the configured device is missing."""
    import torch

    if config.hardware.device == "cuda" and not torch.cuda.is_available():
        raise FinetuneError(
            "hardware.device is cuda, and PyTorch finds none here; use a machine with a GPU, or "
            "configs/finetune/tiny-cpu.yaml to try the path on a CPU"
        )
