"""`python -m testbed COMMAND`: the test bed from the command line. The Makefile's testbed targets call it."""

import argparse
import sys
from collections.abc import Callable

from testbed import brokers, environment, golang, images, leftovers, promtool, pulsar_jars, rabbitmq
from testbed.programs import client
from testbed.progress import console, say


def main(arguments: list[str]) -> int:
    """Run one command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m testbed", description="A real Kubernetes, Valkey and Pulsar here.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, explanation) in COMMANDS.items():
        command = commands.add_parser(name, help=explanation)
        command.set_defaults(run=run)
        if name == "brokers":
            command.add_argument("-n", "--namespace", required=True)
        if name == "prepare":
            command.add_argument("what", nargs="?", choices=[*PREPARATIONS], default="cluster")
        if name == "load-image":
            command.add_argument("image")
    options = parser.parse_args(arguments)
    try:
        run_command: Callable[[argparse.Namespace], int | None] = options.run
        return run_command(options) or 0
    except (OSError, RuntimeError, ValueError) as error:
        say(f"testbed: {error}")
        return 1


def prepare(options: argparse.Namespace) -> None:
    """Get what is slow the first time, with progress to see, and start nothing."""
    for each in PREPARATIONS[options.what]:
        each()
    golang.remove_workspace()


def up(_: argparse.Namespace) -> None:
    """Start the cluster."""
    cluster = environment.up()
    say(f"the cluster is up: export KUBECONFIG={cluster.kubeconfig} PATH={cluster.program('kubectl').parent}:$PATH")


def down(_: argparse.Namespace) -> None:
    """Stop the cluster."""
    environment.down()


def status(_: argparse.Namespace) -> int:
    """Show what runs; 0 when the cluster is up and healthy."""
    cluster = environment.current()
    healthy = cluster.healthy()
    say("the cluster is up" if healthy else "the cluster is not up")
    if healthy:
        console.print(cluster.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide"), soft_wrap=True)
    for line in leftovers.listed():
        say(line)
    return 0 if healthy else 1


def clean(_: argparse.Namespace) -> None:
    """Remove what a crash left."""
    found = leftovers.listed()
    environment.down()
    say("\n".join(f"removed {line}" for line in found) or "nothing was left")


def build_images(_: argparse.Namespace) -> None:
    """Build the images of operator and worker, and those the cluster cannot have from elsewhere."""
    images.build_all()


def helm() -> None:
    """The one program that tests without a cluster need."""
    client("helm")


def deploy_brokers(options: argparse.Namespace) -> None:
    """Valkey and Pulsar into a namespace."""
    brokers.deploy(environment.up(), options.namespace)


def load_image(options: argparse.Namespace) -> None:
    """Load one image."""
    environment.up().load_image(options.image)


PREPARATIONS: dict[str, tuple[Callable[[], object], ...]] = {
    "tools": (helm, promtool.path),
    "pulsar": (pulsar_jars.pulsar_jars,),
    "cluster": (
        lambda: environment.current().prepare(),
        promtool.path,
        pulsar_jars.pulsar_jars,
        rabbitmq.installation,
    ),
}

COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int | None], str]] = {
    "prepare": (prepare, "get binaries, jars and images into the cache, start nothing"),
    "up": (up, "start the cluster; nothing happens when it is up"),
    "down": (down, "stop the cluster and remove every trace outside the cache"),
    "status": (status, "show what runs and what is on this machine"),
    "clean": (clean, "remove what a crashed run left behind"),
    "images": (build_images, "build operator, worker, Valkey and Pulsar images"),
    "load-image": (load_image, "make an image available to pods"),
    "brokers": (deploy_brokers, "put Valkey and Pulsar into a namespace (-n)"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
