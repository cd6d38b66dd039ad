"""Clients generated from docs/openapi.json compile, and upload and view on a running stack.

The registries that the tests use have no compiler for Swift and Dart: a grammar parses these sources.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kappi_testkit.media.samples import encode, quadrants
from kappi_testkit.programs import require_program

from tests.clients.toolchains import GENERATED, ROOT, jars, npm_packages, run
from tests.e2e.stacks import StackUnderTest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

_DOCUMENT = ROOT / "docs" / "openapi.json"
_PICTURE = encode(quadrants(640, 480), "JPEG")
_SOURCES = ("apiDocs", "modelDocs", "apiTests", "modelTests")
_TSCONFIG = """{"compilerOptions": {"strict": true, "noUncheckedIndexedAccess": true, "noEmit": true,
"target": "es2022", "module": "esnext", "moduleResolution": "bundler", "lib": ["es2022", "dom"],
"types": ["node"]}}"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(_PICTURE)
    return path


def generated(generator: str, folder: Path, *, library: str = "") -> Path:
    """Generates the sources of a client. Errors in the generator's output fail the test."""
    output = run(
        *(require_program("java"), "-cp", jars("generator"), "org.openapitools.codegen.OpenAPIGenerator"),
        *("generate", "-g", generator, "-i", _DOCUMENT, "-o", folder),
        *(("--library", library) if library else ()),
        *("--global-property", ",".join(f"{name}=false" for name in _SOURCES)),
        cwd=folder.parent,
    )
    errors = [line for line in output.splitlines() if " ERROR " in line]
    assert errors == []
    return folder


async def test_java(stack: StackUnderTest, photo: Path, tmp_path: Path) -> None:
    javac = require_program("javac")
    client = generated("java", tmp_path / "java", library="native")
    classes = tmp_path / "classes"
    sources = [*(client / "src/main/java").rglob("*.java"), GENERATED / "Journey.java"]
    run(javac, "-nowarn", "-d", classes, "-cp", jars("java"), *sources, cwd=tmp_path)
    model = (client / "src/main/java/org/openapitools/client/model/Tier.java").read_text()
    assert "Long maxFileBytes" in model
    path = f"{classes}:{jars('java')}"
    await _travels(stack, photo, require_program("java"), "-cp", path, "Journey")


async def test_python(stack: StackUnderTest, photo: Path, tmp_path: Path) -> None:
    client = generated("python", tmp_path / "python")
    run(sys.executable, "-m", "compileall", "-q", client / "openapi_client", cwd=tmp_path)
    await _travels(stack, photo, sys.executable, GENERATED / "journey.py", PYTHONPATH=str(client))


async def test_typescript_by_openapi_typescript(stack: StackUnderTest, photo: Path, tmp_path: Path) -> None:
    programs = npm_packages() / ".bin"
    (tmp_path / "node_modules").symlink_to(npm_packages())
    (tmp_path / "journey.ts").write_text((GENERATED / "journey.ts").read_text())
    (tmp_path / "tsconfig.json").write_text(_TSCONFIG)
    run(programs / "openapi-typescript", _DOCUMENT, "-o", "kappi.d.ts", cwd=tmp_path)
    run(programs / "tsc", "-p", ".", cwd=tmp_path)
    bundled = ("journey.ts", "--bundle", "--platform=node", "--format=esm", "--outfile=journey.mjs")
    run(programs / "esbuild", *bundled, cwd=tmp_path)
    await _travels(stack, photo, require_program("node"), tmp_path / "journey.mjs")


def test_typescript_by_openapi_generator(tmp_path: Path) -> None:
    programs = npm_packages() / ".bin"
    (tmp_path / "node_modules").symlink_to(npm_packages())
    (tmp_path / "tsconfig.json").write_text(_TSCONFIG)
    generated("typescript-fetch", tmp_path / "client")
    run(programs / "tsc", "-p", ".", cwd=tmp_path)


def test_kotlin(tmp_path: Path) -> None:
    client = generated("kotlin", tmp_path / "kotlin", library="jvm-okhttp4")
    classes = tmp_path / "classes"
    libraries = ":".join(str(path) for path in Path(jars("kotlin")).parent.glob("*.jar"))
    run(
        *(require_program("java"), "-cp", jars("kotlin-compiler")),
        *("org.jetbrains.kotlin.cli.jvm.K2JVMCompiler", "-no-stdlib", "-no-reflect", "-nowarn"),
        *("-cp", libraries, "-d", classes, client / "src/main/kotlin"),
        cwd=tmp_path,
    )
    assert (classes / "org/openapitools/client/models/Item.class").exists()


@pytest.mark.parametrize(
    ("language", "generator", "sources"),
    [
        ("swift", "swift6", ("Sources/*/Models/*.swift", "Sources/*/APIs/*.swift")),
        ("dart", "dart", ("lib/**/*.dart",)),
    ],
)
def test_the_sources_can_be_parsed(
    language: str, generator: str, sources: tuple[str, ...], tmp_path: Path
) -> None:
    """The test covers the sources that depend on the document. The rest is the generator's own."""
    client = generated(generator, tmp_path / language)
    files = [path for pattern in sources for path in client.glob(pattern)]
    assert len(files) > 100
    assert [path.name for path in files if not _parses(language, path)] == []
    assert list(_unusual_defaults(files)) == []


def _parses(language: str, path: Path) -> bool:
    import tree_sitter
    import tree_sitter_dart
    import tree_sitter_swift

    grammar = {"dart": tree_sitter_dart, "swift": tree_sitter_swift}[language].language()
    tree = tree_sitter.Parser(tree_sitter.Language(grammar)).parse(path.read_bytes())
    return not tree.root_node.has_error


def _unusual_defaults(files: list[Path]) -> Iterator[str]:
    """Removes default values that the grammar of Dart does not accept as constants."""
    for path in files:
        yield from re.findall(r"this\.\w+ = \{", path.read_text())


async def _travels(stack: StackUnderTest, photo: Path, *command: str | Path, **environ: str) -> None:
    output = await asyncio.to_thread(run, *command, stack.base_url, photo, cwd=photo.parent, **environ)
    made = re.search(r"^made (\S+) (\S+)$", output, re.MULTILINE)
    assert made is not None, output
    stack.secrets.add(made[2])
    assert f"shown photo.jpg {len(_PICTURE)}\n" in output
