"""Training on a tiny Qwen3: by heart with the adapter, not without it; packed, killed and merged alike."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from finetune.data.encoding import IGNORED, encode, encode_all, read_examples
from finetune.errors import DataError, FinetuneError
from serving.registry.adapter import NAME, check_modules
from serving.registry.card import read_card
from serving.registry.errors import AdapterError
from serving.registry.shape import read_shape
from tests.finetune.conftest import ROOT, Learnt, tiny_config

pytestmark = pytest.mark.torch


def load(base: Path, adapter: Path | None = None) -> tuple[Any, Any]:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from finetune.base_model import open_tokenizer

    model = AutoModelForCausalLM.from_pretrained(str(base), dtype="float32")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter))
    return model.eval(), open_tokenizer(str(base))


def test_tiny_builds_the_same_model_again(tiny_base: Path, tmp_path: Path) -> None:
    from finetune.tiny import main

    assert main([str(tmp_path / "again"), "--faq", str(ROOT / "configs/faq/sample.jsonl")]) == 0
    assert main([str(tmp_path / "other"), "--seed", "8"]) == 0
    weights = [f / "model.safetensors" for f in (tiny_base, tmp_path / "again", tmp_path / "other")]
    assert weights[0].read_bytes() == weights[1].read_bytes() != weights[2].read_bytes()
    model, tokenizer = load(tiny_base)
    assert sum(p.numel() for p in model.parameters()) == read_shape(tiny_base).parameters
    assert tokenizer.decode(tokenizer.encode("정산 3,000원 😀\n1) ㉠")) == "정산 3,000원 😀\n1) ㉠"


def test_encoding_bears_loss_on_the_last_answer_alone(learnt: Learnt) -> None:
    from finetune.base_model import open_tokenizer

    tokenizer = open_tokenizer(str(learnt.base))
    messages = [
        {"role": "system", "content": "지시"}, {"role": "user", "content": "가입은요?"},
        {"role": "assistant", "content": "됩니다. [1]"}, {"role": "user", "content": "비용은요?"},
        {"role": "assistant", "content": "무료입니다. [2]"},
    ]  # fmt: skip
    encoded = encode(tokenizer, messages)  # type: ignore[arg-type]
    prompt = tokenizer.apply_chat_template(
        messages[:-1], add_generation_prompt=True, enable_thinking=False, tokenize=False
    )
    assert tokenizer.decode(encoded.input_ids) == f"{prompt}무료입니다. [2]<|im_end|>"
    learnt_ids = [i for i in encoded.labels if i != IGNORED]
    assert tokenizer.decode(learnt_ids) == "무료입니다. [2]<|im_end|>"
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    with pytest.raises(DataError):
        encode(tokenizer, messages[:-1])  # type: ignore[arg-type]


def test_adapter_reproduces_20_faqs_and_the_base_does_not(learnt: Learnt) -> None:
    from finetune.finish import greedy

    examples = read_examples(learnt.config.data.folder / "train.jsonl")
    assert len(examples) == 20
    model, tokenizer = load(learnt.base, learnt.adapter)
    right = wrong = 0
    for messages in examples:
        answer = greedy(model, tokenizer, messages[:-1], max_tokens=200)
        right += answer == messages[-1]["content"]
        with model.disable_adapter():
            without = greedy(model, tokenizer, messages[:-1], max_tokens=20)
        wrong += messages[-1]["content"].startswith(without)
    assert right >= 19
    assert wrong == 0


def test_card_tells_where_the_adapter_comes_from(learnt: Learnt) -> None:
    card = read_card(learnt.adapter)
    data = json.loads((learnt.config.data.folder / "card.json").read_text(encoding="utf-8"))
    assert NAME.fullmatch(card.name)
    assert learnt.adapter.name == card.name
    assert card.data_hash == data["data_hash"]
    assert card.rank == check_modules(learnt.adapter, read_shape(learnt.base)) == 32
    assert card.metrics["loss"]["train"] < 0.2 < 4 < card.metrics["loss"]["train_base"]
    assert card.canary.reference != card.canary.base
    assert card.canary.messages[-1]["role"] == "user"


def test_packing_fills_the_rows_and_changes_no_loss(learnt: Learnt) -> None:
    from finetune.judging.losses import token_loss

    model, tokenizer = load(learnt.base, learnt.adapter)
    examples = read_examples(learnt.config.data.folder / "train.jsonl")
    encoded, _ = encode_all(tokenizer, examples, max_length=2048)
    for chosen in (model, model.unload()):
        alone, packed = token_loss(chosen, encoded), token_loss(chosen, encoded, pack_to=2048)
        assert packed == pytest.approx(alone, abs=1e-3)


def test_packing_leaves_less_than_5_per_cent_unfilled(learnt: Learnt) -> None:
    from trl import pack_dataset

    from finetune.base_model import open_tokenizer
    from finetune.data.encoding import fill_share
    from finetune.train import as_dataset

    tokenizer = open_tokenizer(str(learnt.base))
    examples = read_examples(learnt.config.data.folder / "train.jsonl") * 20
    encoded, _ = encode_all(tokenizer, examples, max_length=8192)
    rows = pack_dataset(as_dataset(encoded), 8192, "bfd")
    lengths = [len(example.input_ids) for example in encoded]
    assert sum(map(len, rows["input_ids"])) == sum(lengths)
    assert fill_share(lengths, len(rows), 8192) >= 0.95
    assert fill_share(lengths, len(encoded), max(lengths)) < 0.95


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_examples_do_not_see_each_other(tiny_base: Path, attention: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        str(tiny_base), dtype="float32", attn_implementation=attention
    ).eval()
    alone, packed, changed = answers_to_the_second(model)
    assert torch.allclose(packed, alone, atol=1e-4)
    assert torch.allclose(packed, changed, atol=1e-4)


def test_packed_examples_of_a_hybrid_see_each_other() -> None:
    """Why preflight refuses it: where this fails, transformers keeps them apart and the rule can go."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = json.loads((ROOT / "configs/finetune/shapes/qwen3.6-27b.json").read_text(encoding="utf-8"))
    rope = {**shape.pop("rope_parameters"), "mrope_section": [2, 1, 1]}
    small = {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 500, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    }  # fmt: skip
    torch.manual_seed(7)
    config = AutoConfig.for_model(**{**shape, **small, "rope_parameters": rope})
    _, packed, changed = answers_to_the_second(AutoModelForCausalLM.from_config(config).eval().float())
    assert not torch.allclose(packed, changed, atol=1e-2)


def answers_to_the_second(model: Any) -> tuple[Any, Any, Any]:
    """What a model says to an example alone, packed behind another one, and packed behind a changed one."""
    import torch

    first, second = list(range(40, 72)), list(range(100, 148))
    places = torch.tensor([[*range(len(first)), *range(len(second))]])

    def answer_to(*row: int) -> torch.Tensor:
        with torch.no_grad():
            logits = model(
                input_ids=torch.tensor([row]), position_ids=places[:, -len(row) :], use_cache=False
            )
        return logits.logits[0, -len(second) :]

    return answer_to(*second), answer_to(*first, *second), answer_to(*reversed(first), *second)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_trainer_gives_the_same_loss_packed_and_unpacked(
    learnt: Learnt, tmp_path: Path, attention: str
) -> None:
    """One optimizer step over all examples, with the trainer's own packing and collator."""
    losses, filled = {}, None
    for packing in (True, False):
        training = {
            "packing": packing, "max_length": 2048, "batch": 1, "accumulation": 100,
            "max_steps": 1, "warmup_steps": 0, "log_steps": 1,
        }  # fmt: skip
        report, curves = run(learnt, tmp_path / str(packing), training, attention=attention)
        losses[packing], filled = curves[0]["loss"], report["filled"] or filled
    assert losses[True] == pytest.approx(losses[False], abs=1e-3)
    assert filled is not None
    assert filled > 0.8


def run(
    learnt: Learnt, folder: Path, training: dict[str, object], *, attention: str = "sdpa", **options: Any
) -> tuple[Any, Any]:
    from finetune.judging.curves import read_curves
    from finetune.train import train

    _, config = part(learnt, folder, training, attention)
    adapter = train(config, **options)
    report = json.loads((adapter / "report.json").read_text(encoding="utf-8"))
    return report, read_curves(config.run_folder / "curves.jsonl")


def part(
    learnt: Learnt, folder: Path, training: dict[str, object], attention: str = "sdpa"
) -> tuple[Path, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    data = {"folder": str(learnt.config.data.folder), "validation_share": 0.0}
    return tiny_config(
        folder,
        {
            "data": data,
            "model": {"base": str(learnt.base), "attention": attention},
            "training": training,
            "lora": {"dropout": 0.1},
        },
    )


def test_killed_run_resumes_to_the_same_loss(learnt: Learnt, tmp_path: Path) -> None:
    training = {"max_steps": 14, "save_steps": 4, "eval_steps": 4, "log_steps": 2, "warmup_steps": 2}
    whole, curves = run(learnt, tmp_path / "whole", training)
    path, config = part(learnt, tmp_path / "killed", training)
    process = subprocess.Popen(
        [sys.executable, "-m", "finetune.train", "--config", str(path)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    checkpoints = config.run_folder / "checkpoints"
    waited = time.monotonic() + 300
    while not (checkpoints / "checkpoint-4" / "trainer_state.json").exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < waited
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (config.run_folder / "adapter").exists()
    resumed, again = run(learnt, tmp_path / "killed", training, resume=True)
    assert resumed["steps"] == whole["steps"] == 14
    ours = {line["step"]: line["loss"] for line in curves if "loss" in line}
    theirs = {line["step"]: line["loss"] for line in again if "loss" in line}
    assert theirs == pytest.approx(ours, abs=1e-5)


def test_merged_model_answers_like_base_and_adapter(learnt: Learnt, tmp_path: Path) -> None:
    import torch

    from finetune.export import export
    from finetune.finish import greedy

    out = export(learnt.adapter, learnt.base, tmp_path / "merged", dtype="float32")
    merged, tokenizer = load(out)
    model, _ = load(learnt.base, learnt.adapter)
    for messages in read_examples(learnt.config.data.folder / "train.jsonl")[:4]:
        prompt = messages[:-1]
        assert greedy(merged, tokenizer, prompt) == greedy(model, tokenizer, prompt)
        ids = torch.tensor([encode(tokenizer, messages).input_ids])
        with torch.no_grad():
            assert torch.allclose(merged(ids).logits, model(ids).logits, atol=1e-3)
    with pytest.raises(FinetuneError, match="exists already"):
        export(learnt.adapter, learnt.base, out)


def test_export_refuses_another_base_of_the_same_shape(learnt: Learnt, tmp_path: Path) -> None:
    from finetune.export import export
    from finetune.tiny import main

    assert main([str(tmp_path / "other"), "--seed", "8"]) == 0
    with pytest.raises(AdapterError, match="was trained on"):
        export(learnt.adapter, tmp_path / "other", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_train_refuses_what_cannot_fit_before_it_loads_anything(
    learnt: Learnt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from finetune.train import main

    shape = {"base": "Qwen/Qwen3-32B", "shape": str(ROOT / "configs/finetune/shapes/qwen3-32b.json")}
    path, _ = tiny_config(tmp_path, {"model": shape})
    started = time.monotonic()
    assert main(["--config", str(path)]) == 1
    assert "GB on each device, 3.8 GB can be used" in capsys.readouterr().err
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["qwen3-32b", "qwen3.6-27b"])
def test_random_weights_have_the_exact_shape(name: str) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    file = ROOT / "configs" / "finetune" / "shapes" / f"{name}.json"
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(str(file)))
    assert sum(p.numel() for p in model.parameters()) == read_shape(file).parameters


def test_measure_trains_random_weights_in_4_bit(tiny_base: Path, tmp_path: Path) -> None:
    import bitsandbytes

    from finetune.base_model import open_base
    from finetune.measure import measure, measured_config

    shape = {"base": "tiny/none", "shape": str(tiny_base / "config.json"), "load_in_4bit": True}
    _, config = tiny_config(tmp_path, {"model": shape, "training": {"max_length": 256}})
    chosen = measured_config(config, steps=2, folder=tmp_path / "runs")
    linear = [m for m in open_base(chosen).modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(linear) == 7 * 2
    assert {str(module.weight.dtype) for module in linear} == {"torch.uint8"}
    assert measure(chosen)["tokens_per_second"] > 0
