"""Builds a tiny Qwen3 with its own tokenizer, for tests and for trying the whole path on a CPU.

    python -m finetune.tiny OUT_DIR [--faq configs/faq/sample.jsonl] [--layers 2] [--hidden 128] [--seed 7]

The weights are random: it says nothing sensible until an adapter has learnt something by heart. The
tokenizer is a byte-level BPE trained on the FAQ, the expansions and the instructions, with Qwen3's special
tokens and chat template, so that every text survives encoding and `enable_thinking` works. The same
arguments give the same model. Knows no training and no serving.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune.errors import FinetuneError
from retrieval.corpus.expansions import read_expansions
from retrieval.corpus.faq import read_corpus
from retrieval.errors import RetrievalError
from retrieval.prompt import load_system_prompt

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_THINKING = ("<think>", "</think>")
# Qwen's own split, so that numbers are read digit by digit.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(texts: Iterator[str], *, vocabulary: int = 4096) -> Any:
    """Trains a byte-level BPE of at most `vocabulary` tokens; returns a transformers tokenizer."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import AddedToken, PreTrainedTokenizerFast
    from trl.chat_template_utils import qwen3_chat_template

    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(_THINKING),
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )
    fast.add_tokens([AddedToken(token, special=False, normalized=False) for token in _THINKING])
    fast.chat_template = qwen3_chat_template
    return fast


def tiny_config(vocabulary: int, *, layers: int = 2, hidden: int = 128) -> Any:
    """A `Qwen3Config` of heads of 32, grouped two to one, and a vocabulary rounded up to 64."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=-(-vocabulary // 64) * 64,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 32,
        num_key_value_heads=hidden // 64,
        head_dim=32,
        intermediate_size=3 * hidden,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        dtype="float32",
    )


def build_tiny(out: Path, texts: Sequence[str], *, layers: int = 2, hidden: int = 128, seed: int = 7) -> None:
    """Writes model and tokenizer to `out`.

    Args:
        out: a folder, created if missing.
        texts: what the tokenizer is trained on.
        layers: how many.
        hidden: width, a multiple of 64.
        seed: of the weights; another seed gives another base of the same shape.
    """
    import torch
    from transformers import GenerationConfig, Qwen3ForCausalLM

    tokenizer = train_tokenizer(iter(texts))
    config = tiny_config(len(tokenizer), layers=layers, hidden=hidden)
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(config)
        # The default deviation of 0.02 is for wide models: here it would leave the layers almost mute.
        for parameter in model.parameters():
            if parameter.dim() == 2:
                torch.nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
        # The frozen head bounds how sure an adapter can become.
        torch.nn.init.normal_(model.lm_head.weight, std=3 * hidden**-0.5)
    model.generation_config = GenerationConfig(
        eos_token_id=[tokenizer.eos_token_id], pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def corpus_texts(faq: Path, expansions: Path) -> list[str]:
    """All texts a prompt may hold: questions, answers, expansions, instructions.

    Raises:
        CorpusError: a file cannot be used.
    """
    corpus = read_corpus(faq)
    known = corpus.by_id
    texts = [load_system_prompt()]
    for item in corpus.faqs:
        texts += (item.question, item.answer)
    for id, queries in read_expansions(expansions).items():
        if id in known:
            texts += queries
    return texts


def main(argv: list[str] | None = None) -> int:
    """Builds the model that the command line describes."""
    parser = argparse.ArgumentParser(prog="python -m finetune.tiny", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faq", type=Path, default=Path("configs/faq/sample.jsonl"))
    parser.add_argument("--expansions", type=Path, default=Path("configs/expansions"))
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args(argv)
    try:
        texts = corpus_texts(given.faq, given.expansions)
        build_tiny(given.out, texts, layers=given.layers, hidden=given.hidden, seed=given.seed)
    except (FinetuneError, RetrievalError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    print(f"built {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
