"""Pass the dependencies and the guide to hatchling, which builds the package: the ranges are only in
requirements.in, and mkdocs makes the guide from docs.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

HEADING = re.compile(r"# \[(?P<extra>[a-z0-9-]+)\](?: with \[(?P<other>[a-z0-9-]+)\])?")


def sections(path: Path) -> dict[str, list[str]]:
    """Return the requirements under each heading `# [extra]` of a file; those above the first under
    ''.
    """
    extra = ""
    by_extra: dict[str, list[str]] = {extra: []}
    for line in path.read_text().splitlines():
        heading = HEADING.match(line)
        if heading:
            extra = heading["extra"]
            by_extra[extra] = list(by_extra[heading["other"]]) if heading["other"] else []
        requirement = line.partition("#")[0].strip()
        if requirement and not requirement.startswith("-r"):
            by_extra[extra].append(requirement)
    return by_extra


def extras(path: Path) -> dict[str, list[str]]:
    """Return the requirements of each extra, and of `all`."""
    by_extra = {extra: requirements for extra, requirements in sections(path).items() if extra}
    everything = {requirement for requirements in by_extra.values() for requirement in requirements}
    return by_extra | {"all": sorted(everything)}


class Dependencies(MetadataHookInterface):  # type: ignore[misc]
    def update(self, metadata: dict[str, Any]) -> None:
        ranges = Path(self.root) / "requirements.in"
        metadata["dependencies"] = sections(ranges)[""]
        metadata["optional-dependencies"] = extras(ranges)


class Guide(BuildHookInterface):  # type: ignore[misc]
    def dependencies(self) -> list[str]:
        return sections(Path(self.root) / "requirements-dev.in")["guide"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # it is used from the checkout
            return
        root = Path(self.root)
        subprocess.run([sys.executable, root / "scripts" / "build_guide.py"], check=True)
        build_data["force_include"][str(root / "storage" / "guide")] = "app/data/guide"
