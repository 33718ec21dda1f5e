"""Build hook: the project is installed from its checkout, never as a wheel."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class OnlyEditable(BuildHookInterface):  # type: ignore[type-arg]
    """Lets editable installs pass and refuses everything else with the command to use."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds; `version` is the kind of the build."""
        if version != "editable":
            raise RuntimeError(
                "smartstore-chatbot is an application: install it with `pip install -e .` or `make run`"
            )
