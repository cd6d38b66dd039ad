"""Collects in dist/pages the files from which the site of the documentation is built.

These are the Markdown files of the repository, at their paths there, and the files that they link, so a link
has the same meaning in the repository and on the site. A linked folder gets a page that lists its files.
The exit status is 1 if a page or the navigation links a file that does not exist.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ("*.md", ":!.github", ":!**/tests/**")
_LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def gather(root: Path, folder: Path, files: Collection[str], pages: Collection[str]) -> list[str]:
    """Fills the folder and returns the broken links.

    files: paths from the root of all files under version control. pages: some of them.
    """
    linked: dict[str, str] = {}
    for page in pages:
        text = (root / page).read_text()
        linked |= {_resolved(page, link[2]): page for link in _LINK.finditer(text)}
        _write(folder / page, _LINK.sub(partial(_to_page, root, page), text))
    broken = []
    for path in sorted(linked.keys() - set(pages)):
        inside = [file for file in files if file.startswith(f"{path}/")]
        if path in files:
            _copy(root, folder, path)
        elif not inside:
            broken.append(f"{linked[path]}: {path} does not exist")
        elif f"{path}/README.md" not in pages:
            names = [posixpath.relpath(file, path) for file in inside]
            _write(folder / path / "README.md", f"# {path}\n\n" + "".join(f"- [{n}]({n})\n" for n in names))
            for file in inside:
                _copy(root, folder, file)
    return broken


def navigation(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Returns the pages of the navigation."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, str):
                yield target
            else:
                yield from navigation(target)


def _to_page(root: Path, page: str, link: re.Match[str]) -> str:
    """Turns a link to a folder into a link to the folder's page."""
    is_folder = (root / _resolved(page, link[2])).is_dir()
    return f"{link[1]}{link[2].rstrip('/')}/README.md{link[3]}" if is_folder else link[0]


def _resolved(page: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _copy(root: Path, folder: Path, file: str) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / file, folder / file)


def _listed(*patterns: str) -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()


def main() -> int:
    project = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    folder = ROOT / project["docs_dir"]
    shutil.rmtree(folder, ignore_errors=True)
    pages = _listed(*PAGES)
    broken = gather(ROOT, folder, _listed(), pages)
    broken += [
        f"zensical.toml: {page} does not exist" for page in navigation(project["nav"]) if page not in pages
    ]
    print("\n".join(broken), end="\n" if broken else "")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
