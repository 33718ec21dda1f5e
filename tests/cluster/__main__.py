"""python -m tests.cluster all, or the names of drills: they write docs/resilience.md."""

from __future__ import annotations

import sys

from tests.cluster import cost, engines, faults, overload, reindex, takeover

DRILLS = {
    "takeover": takeover.run,
    "faults": faults.run,
    "cost": cost.run,
    "reindex": reindex.run,
    "overload": overload.run,
    "engines": engines.run,
}


def main() -> None:
    """Runs the drills that are named, or all of them."""
    names = sys.argv[1:] or ["all"]
    for name in DRILLS if names == ["all"] else names:
        if name not in DRILLS:
            sys.exit(f"unknown drill {name!r}; valid: {', '.join(DRILLS)}, all")
        DRILLS[name]()


if __name__ == "__main__":
    main()
