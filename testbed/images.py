"""The images that the cluster needs beside its own: operator, worker, Valkey, Pulsar, and whatever is built on them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from testbed import cache
from testbed.docker import Docker, kind_is_usable
from testbed.image_builder import JAVA_BASE, PYTHON_BASE, ImageBuilder
from testbed.pulsar_jars import pulsar_jars
from testbed.valkey import server_binary

ROOT = Path(__file__).parents[1]
SOURCES = Path(__file__).parent / "images"

OPERATOR = "localhost/headrace-operator:dev"
WORKER = "localhost/headrace-worker:dev"
VALKEY = "localhost/valkey:dev"
PULSAR = "localhost/pulsar:dev"


def build_image(
    name: str,
    context: Path,
    dockerfile: Path | None = None,
    build_args: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    inputs: Sequence[Path] = (),
) -> str:
    """Build an image unless it is there already, made of the same things; return the hash of these things.

    `dockerfile`: `context`/Dockerfile when None. `build_args`: a value may name one of our images, which is then
    built before. `options`: further words for the builder. `inputs`: what the build reads, when that is not all of
    `context`. Raises RuntimeError with the builder's last lines.
    """
    engine = builder()
    arguments = dict(build_args or {})
    file = dockerfile or context / "Dockerfile"
    bases = [provide(value) for value in arguments.values() if value.startswith("localhost/")]
    words = [*(f"{key}={value}" for key, value in sorted(arguments.items())), *options, *bases]
    content = cache.content_hash([file, *(inputs or [context])], *words)
    given = [f"--build-arg={key}={value}" for key, value in sorted(arguments.items())]
    engine.build(name, file, context, content, *given, *options)
    return content


def build_all() -> None:
    """Build operator and worker; without Docker, where the official ones cannot be had, Valkey and Pulsar too."""
    for name in (OPERATOR, WORKER) if kind_is_usable() else RECIPES:
        provide(name)


def provide(name: str) -> str:
    """Build one of our images if need be; return its content hash. An image built by somebody else must be there.

    Raises RuntimeError when nothing is known of it.
    """
    if name in RECIPES:
        return RECIPES[name]()
    content = builder().content(name)
    if content is None and not name.startswith((PYTHON_BASE, JAVA_BASE)):
        raise RuntimeError(f"image {name} is not built: call build_image first")
    return content or ""


def builder() -> ImageBuilder | Docker:
    """Docker where kind runs the cluster, else buildah."""
    return Docker() if kind_is_usable() else ImageBuilder()


def _product(target: str) -> str:
    # what operator/Dockerfile copies for this target
    inputs = ("operator/headrace", "requirements/build.txt", f"requirements/{target}.txt", "pyproject.toml")
    return build_image(
        f"localhost/headrace-{target}:dev",
        ROOT,
        ROOT / "operator" / "Dockerfile",
        {"BASE_IMAGE": builder().base(PYTHON_BASE)},
        [f"--target={target}"],
        [ROOT / each for each in inputs],
    )


def _pulsar() -> str:
    folder = SOURCES / "pulsar"
    jars = pulsar_jars()
    options = [f"--build-context=jars={jars}"]
    return build_image(PULSAR, folder, None, {"BASE_IMAGE": builder().base(JAVA_BASE)}, options)


def _valkey() -> str:
    server = server_binary()
    options = [f"--build-context=server={server.parent}"]
    arguments = {"BASE_IMAGE": builder().base(PYTHON_BASE)}
    return build_image(VALKEY, SOURCES / "valkey", None, arguments, options, [SOURCES / "valkey", server])


RECIPES: dict[str, Callable[[], str]] = {
    OPERATOR: lambda: _product("operator"),
    WORKER: lambda: _product("worker"),
    VALKEY: _valkey,
    PULSAR: _pulsar,
}
