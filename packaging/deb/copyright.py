"""The .deb's copyright file: artstore's own terms, then those of every package that is built in, as it declares them.

    copyright.py SITE_PACKAGES

The licences' whole texts stand in the packages' own folders, which the file names.
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Final

_HEAD: Final = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: artstore
Comment: What is below /usr/lib/artstore/lib was built in from the Python package index. The texts of the licences
 lie in the folders *.dist-info there, at the paths that are told here.

Files: *
Copyright: the authors of artstore
License: Apache-2.0

License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
"""


def stanza(built_in: Distribution) -> str:
    """What one package says of itself."""
    metadata = built_in.metadata
    lines = [
        f"Files: {', '.join(_folders(built_in))}",
        f"Copyright: the authors of {metadata['Name']} {metadata['Version']}",
        f"License: {_licence(built_in)}",
    ]
    texts = sorted(str(path) for path in built_in.files or () if _is_licence(path))
    if texts:
        lines.append("Comment: " + "\n ".join(["its text:", *texts]))
    return "".join(f"{line}\n" for line in lines)


def _folders(built_in: Distribution) -> list[str]:
    """What it has put beside the others."""
    paths = [path.parts for path in built_in.files or () if path.parts[0] not in ("..", "__pycache__")]
    return sorted({f"*/site-packages/{parts[0]}" + ("/*" if parts[1:] else "") for parts in paths})


def _licence(built_in: Distribution) -> str:
    """In words of its own: an expression, a short field, or a trove classifier."""
    metadata = built_in.metadata
    short = [value for key in ("License-Expression", "License") for value in metadata.get_all(key) or ()]
    classified = [value for value in metadata.get_all("Classifier") or () if value.startswith("License ::")]
    said = [value.strip() for value in [*short, *(value.rpartition(":: ")[2] for value in classified)]]
    fitting = [value for value in said if value and "\n" not in value and value != "UNKNOWN"]
    return fitting[0] if fitting else "see its text"


def _is_licence(path: PurePosixPath) -> bool:
    return ".dist-info" in path.parts[0] and (
        "licenses" in path.parts or path.name.upper().startswith(("LICEN", "COPYING", "NOTICE"))
    )


def main(site: Path) -> str:
    """The whole file."""
    found = sorted(distributions(path=[str(site)]), key=lambda each: each.metadata["Name"].lower())
    return "\n".join([_HEAD, *(stanza(each) for each in found if each.metadata["Name"] != "artstore")])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: copyright.py SITE_PACKAGES")
    print(main(Path(sys.argv[1])), end="")
