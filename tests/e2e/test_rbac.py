"""The chart's own RBAC is enough, and no more than that."""

import json

from testbed.environment import Environment
from tests.e2e.cluster import Cluster
from tests.e2e.conftest import SYSTEM


def test_operator_was_never_refused(namespace: Cluster, installed: Environment) -> None:
    """Runs after the other e2e tests (alphabetical order): whatever they did, no request was answered 403."""
    logs = installed.kubectl("-n", SYSTEM, "logs", "deployment/headrace", "--tail=-1")
    assert "forbidden" not in logs.lower()


def test_operator_cannot_read_other_things(installed: Environment) -> None:
    account = f"--as=system:serviceaccount:{SYSTEM}:headrace"
    for verb, kind in (("create", "secrets"), ("delete", "pods"), ("create", "clusterroles"), ("patch", "nodes")):
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "resource": kind, "namespace": "default"}},
        }
        answer = installed.kubectl("create", account, "-o", "json", "-f", "-", input=json.dumps(review))
        assert json.loads(answer)["status"]["allowed"] is False, (verb, kind)


def test_p6_no_password_in_the_operators_log(namespace: Cluster, installed: Environment) -> None:
    assert "wrong-pass" not in installed.kubectl("-n", SYSTEM, "logs", "deployment/headrace", "--tail=-1")
