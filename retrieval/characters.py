"""Kinds of characters that look like nothing, or like something else, in text from outside.

Follows Unicode 16: `Default_Ignorable_Code_Point`, the bidirectional controls, and every character that
some reader takes for the end of a line (UAX #14). Knows characters; not where a text comes from.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Joiners, fillers, bidirectional controls, tags (which can spell hidden orders) and variation selectors.
_JOINER, _EMOJI_STYLE = "\u200d", "\ufe0f"
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff"
)
_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
INVISIBLE: Final = re.compile(f"[{_IGNORABLE}{_CONTROLS}]")
# What an answer keeps of them: the characters that hold an emoji together.
_HIDDEN_IN_ANSWERS: Final = re.compile(f"(?![{_JOINER}{_EMOJI_STYLE}])[{_IGNORABLE}{_CONTROLS}]")
LINE_ENDS: Final = re.compile("[\x0b\x0c\x85\u2028\u2029]")
_LINE_ENDS_IN_JSON: Final = re.compile("[\x7f-\x9f\u2028\u2029]")
# Most marks on one letter in any script in use; more is text that runs over its neighbours.
_STACKED: Final = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_BRAILLE_BLANK = "\u2800"


def plain(text: str) -> str:
    """`text` composed (NFC), without invisible characters, every unusual end of a line a blank."""
    if text.isascii() and text.isprintable():
        return text
    text = LINE_ENDS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n").replace(_BRAILLE_BLANK, " "))
    text = _STACKED.sub(r"\1", INVISIBLE.sub("", text))
    return unicodedata.normalize("NFC", text)


def shown(text: str) -> str:
    """A piece of an answer without what would hide, reorder or break it; `\\n` ends lines."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN_IN_ANSWERS.sub("", LINE_ENDS.sub("\n", text))


def is_blank(text: str) -> bool:
    """True where nothing of `text` can be seen: no letter, number, sign or symbol."""
    return not any(unicodedata.category(c)[0] in "LNPS" and c != _BRAILLE_BLANK for c in plain(text))


def one_line(json: str) -> str:
    """JSON text with every character escaped that some reader takes for the end of a line."""
    if json.isascii():
        return json
    return _LINE_ENDS_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", json)
