"""Markdown on a terminal while it streams: finished blocks are printed for good, the last is drawn anew.

Knows text and a console; does not know where the text comes from.
"""

from __future__ import annotations

from itertools import pairwise

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

# An answer is text from outside: no HTML, which would vanish; no definitions of references, which `[1]: …` is
# taken for; and four blanks before a line are a FAQ's layout, not code.
_PARSER = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .disable(["reference", "code", "lheading", "image", "html_block", "html_inline"])
)
# More often, a terminal may show half a picture; less often, the text comes in jerks.
_PICTURES_A_SECOND = 12


class MarkdownStream:
    """One answer on a terminal.

    Args:
        console: where it is shown; a real terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console, self._open, self._begun = console, "", False
        self._live: Live | None = None

    def feed(self, text: str) -> None:
        """Takes the next piece and shows it."""
        self._open += text
        if self._live is None:
            self._live = Live(console=self._console, transient=True, refresh_per_second=_PICTURES_A_SECOND)
            self._live.start()
        *finished, self._open = blocks(self._open)
        if finished:
            # An empty picture first: else the finished part would be seen twice for a moment.
            self._live.update("")
            self._print(finished)
        self._live.update(_LastLines(render(self._open)))

    def close(self, *, void: bool = False) -> None:
        """Shows the rest for good, or drops it where it is void; the next piece begins another answer."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        rest, self._open = self._open, ""
        if not void:
            self._print(blocks(rest))
        self._begun = False

    def _print(self, finished: list[str]) -> None:
        for block in filter(str.strip, finished):
            if self._begun:
                self._console.print()
            self._console.print(render(block))
            self._begun = True


def render(text: str) -> Markdown:
    """`text` for a console; its lines stay lines, and links show where they lead."""
    markdown = Markdown("", hyperlinks=False)
    markdown.markup, markdown.parsed = text, _PARSER.parse(text)
    for token in markdown.parsed:
        for child in token.children or ():
            if child.type == "softbreak":
                child.type = "hardbreak"
    return markdown


def blocks(text: str) -> list[str]:
    """The paragraphs, lists, tables and so on of `text`; nothing that follows can change any but the last."""
    starts = [token.map[0] for token in _PARSER.parse(text) if token.level == 0 and token.map]
    lines = text.splitlines(keepends=True)
    cuts = [0, *starts[1:], len(lines)]
    return ["".join(lines[begin:end]) for begin, end in pairwise(cuts)]


class _LastLines:
    """The end of a renderable that may be longer than the screen."""

    def __init__(self, whole: Markdown) -> None:
        self._whole = whole

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._whole, options.update(height=None), pad=False)
        for line in lines[-max(console.height - 1, 1) :]:
            yield from line
            yield Segment.line()
