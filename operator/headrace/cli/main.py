"""The ``headrace`` command.

Each subcommand imports what it needs when it runs: the worker image has no Kubernetes client, the operator image has
no Celery, and neither should pay for the other.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from headrace import __version__
from headrace.api.crd import KINDS, custom_resource_definition
from headrace.api.resource_file import UnreadableFileError, documents

CONFIG = Path("/etc/headrace/config.json")
EX_USAGE = 64


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns the exit code."""
    options = _parser().parse_args(arguments)
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace", description="Celery on Valkey, Apache Pulsar, and the way between."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    operator = commands.add_parser("operator", help="run the operator")
    operator.set_defaults(run=_operator)

    for name, what in (("worker", "run a ValkeyWorker's pod"), ("bridge", "run a PulsarBridge's pod")):
        pod = commands.add_parser(name, help=what)
        pod.add_argument(
            "--config", type=Path, default=CONFIG, help="the resource, as JSON or YAML (default: %(default)s)"
        )
        pod.set_defaults(run=_worker if name == "worker" else _bridge)

    plan = commands.add_parser("plan", help="show what the operator would make of a resource, without a cluster")
    plan.add_argument("-f", "--filename", required=True, help="a YAML file with one or more resources; - for stdin")
    plan.set_defaults(run=_plan)

    crds = commands.add_parser("crds", help="write the CustomResourceDefinitions")
    crds.add_argument("--output", type=Path, required=True, action="append", help="a folder; may be given again")
    crds.set_defaults(run=_crds)

    version = commands.add_parser("version", help="show the version")
    version.set_defaults(run=_version)
    return parser


def _operator(options: argparse.Namespace) -> int:
    from headrace.controller.main import run

    return run()


def _worker(options: argparse.Namespace) -> int:
    from headrace.worker.greenlets import patch_if_wanted

    patch_if_wanted(options.config)
    from headrace.worker.entry import run

    return run(options.config)


def _bridge(options: argparse.Namespace) -> int:
    from headrace.bridge.main import run

    return run(options.config)


def _plan(options: argparse.Namespace) -> int:
    from headrace.reconcile.offline import plan

    try:
        content = sys.stdin.buffer.read() if options.filename == "-" else Path(options.filename).read_bytes()
        bodies = [document.body for document in documents(content)]
    except (OSError, UnreadableFileError) as error:
        print(f"headrace plan: {options.filename}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return EX_USAGE
    kinds = {kind.__name__ for kind in KINDS}
    ours = [body for body in bodies if isinstance(body, dict) and body.get("kind") in kinds]
    if not ours:
        names = ", ".join(kind.__name__ for kind in KINDS)
        print(f"headrace plan: {options.filename} holds none of {names}", file=sys.stderr)
        return EX_USAGE
    print("---\n".join(plan(body) for body in ours), end="")
    return 0


def _crds(options: argparse.Namespace) -> int:
    for folder in options.output:
        folder.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            definition = custom_resource_definition(kind)
            header = "# Made by `make crds` from operator/headrace/api; do not edit.\n"
            text = yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)
            (folder / f"{kind.plural}.{definition['spec']['group']}.yaml").write_text(header + text)
    return 0


def _version(options: argparse.Namespace) -> int:
    print(__version__)
    return 0
