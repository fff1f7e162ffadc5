"""The broker's jars (317 files, 235 MB), fetched once from Maven Central through Maven."""

import subprocess
import tempfile
from pathlib import Path

from testbed import cache, debian
from testbed.progress import step

PULSAR_VERSION = "4.0.7"

# Two repositories named in Pulsar's dependencies no longer answer, and Maven would wait for each on every
# file: declared here under their ids with everything disabled, they are not asked.
PROJECT = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.headrace</groupId>
  <artifactId>testbed-pulsar</artifactId>
  <version>1</version>
  <repositories>
    <repository>
      <id>confluent</id><url>file:///disabled</url>
      <releases><enabled>false</enabled></releases><snapshots><enabled>false</enabled></snapshots>
    </repository>
    <repository>
      <id>maven.restlet.org</id><url>file:///disabled</url>
      <releases><enabled>false</enabled></releases><snapshots><enabled>false</enabled></snapshots>
    </repository>
  </repositories>
  <dependencies>
    <dependency>
      <groupId>org.apache.pulsar</groupId>
      <artifactId>pulsar-broker</artifactId>
      <version>{PULSAR_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def pulsar_jars() -> Path:
    """Return the folder with the broker's jars, fetching them first when the cache has none.

    Raises RuntimeError with Maven's last lines when they cannot be resolved.
    """
    debian.require({"java": "openjdk-17-jre-headless"})
    return cache.artefact(f"pulsar-{PULSAR_VERSION}", _resolve)


def _resolve(target: Path) -> None:
    debian.require({"mvn": "maven"})
    with step(f"Pulsar {PULSAR_VERSION} from Maven Central"), tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch) / "pom.xml"
        project.write_text(PROJECT)
        outcome = subprocess.run(
            [
                "mvn",
                "--batch-mode",
                "--no-transfer-progress",
                f"--file={project}",
                # a repository of its own: 600 MB that would otherwise stay in the user's home
                f"-Dmaven.repo.local={scratch}/repository",
                "dependency:copy-dependencies",
                f"-DoutputDirectory={target}",
                "-DincludeScope=runtime",
            ],
            check=False,
            capture_output=True,
            text=True,
        )
    if outcome.returncode != 0:
        raise RuntimeError(f"Maven cannot fetch Pulsar {PULSAR_VERSION}:\n{outcome.stdout[-2000:]}")
