"""Remembers that an index was built from a FAQ file which a command named and the settings do not.

Without it a later plain `smartstore index build` would put the settings' FAQ back without a word.
"""

from __future__ import annotations

import json
from pathlib import Path

from api.settings import Settings, SettingsError
from retrieval.index.opening import current_fingerprint


class OtherCorpusServed(SettingsError):
    """The current index comes from a file named with `--faq`; `faq` is that file."""

    def __init__(self, faq: Path, settings: Settings) -> None:
        self.faq = faq
        ours = settings.corpus.faq
        super().__init__(
            f"the current index was built from {faq}, which `--faq` named; the settings name {ours}. "
            f"To keep it: SMARTSTORE_CORPUS__FAQ={faq} (or make run FAQ={faq}). "
            f"To go back: smartstore index build --faq {ours}"
        )


def remember(settings: Settings, faq: Path | None, fingerprint: str) -> bool:
    """Notes the named file of a build, or forgets an earlier one; true where the settings name another."""
    note = _note(settings)
    if faq is None or faq.resolve() == settings.path(settings.corpus.faq):
        note.unlink(missing_ok=True)
        return False
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps({"faq": str(faq.resolve()), "fingerprint": fingerprint}) + "\n", "utf-8")
    return True


def check_same_corpus(settings: Settings) -> None:
    """Refuses to replace the index of a named file by the settings' FAQ.

    Raises:
        OtherCorpusServed: the message names both ways out.
    """
    try:
        told = json.loads(_note(settings).read_text(encoding="utf-8"))
        faq, fingerprint = Path(told["faq"]), told["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    same = faq == settings.path(settings.corpus.faq)
    token = settings.index.token.get_secret_value()
    if not same and current_fingerprint(settings.index_uri, token=token) == fingerprint:
        raise OtherCorpusServed(faq, settings)


def _note(settings: Settings) -> Path:
    return settings.path(settings.data_dir) / "index" / "named-faq.json"
