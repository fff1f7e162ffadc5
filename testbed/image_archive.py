"""Images of one program and nothing else, written as an archive that containerd imports."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Sequence
from pathlib import Path

# On an image: a hash of what it was made from, so that it is not made or loaded again for nothing.
CONTENT_LABEL = "headrace.dev/content"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive: Path, name: str, program: Path, entry_point: Sequence[str]) -> None:
    """Write an image `name` that holds a static program at /NAME-OF-PROGRAM (docker-archive format)."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as content:
        member = content.gettarinfo(str(program), arcname=program.name)
        member.mode, member.uid, member.gid, member.mtime = 0o755, 0, 0, 0
        member.uname = member.gname = "root"
        with program.open("rb") as source:
            content.addfile(member, source)
    layer_bytes = layer.getvalue()
    configuration = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(entry_point)},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer_bytes).hexdigest()}"]},
        }
    ).encode()
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(archive, mode="w") as content:
        for file, data in (
            ("layer.tar", layer_bytes),
            ("config.json", configuration),
            ("manifest.json", manifest),
        ):
            header = tarfile.TarInfo(file)
            header.size = len(data)
            content.addfile(header, io.BytesIO(data))
