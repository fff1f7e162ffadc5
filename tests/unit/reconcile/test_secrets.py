from typing import Any

from headrace.api.valkey_worker import ValkeyWorker
from headrace.reconcile.secrets import SecretData, SecretNeed, credentials, hash_of, missing, needs, without_secrets
from tests.unit.reconcile.bodies import body, resource

WITH_SECRETS: dict[str, Any] = {
    "valkey": {
        "url": "valkeys://valkey:6379/0",
        "auth": {"secretRef": {"name": "valkey"}},
        "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}},
    },
    "pod": {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "app", "key": "token"}}}]},
}
FOUND = {
    "valkey": SecretData("u1", {"password": b"hunter22\n", "extra": b"unused-value"}),
    "ca": SecretData("u2", {"root.pem": b"PEM"}),
    "app": SecretData("u3", {"token": b"abcdefgh"}),
}


def test_every_reference_counts() -> None:
    worker = resource(body("ValkeyWorker", **WITH_SECRETS))
    assert isinstance(worker, ValkeyWorker)
    assert [(need.name, need.key) for need in needs(worker)] == [
        ("valkey", "password"),
        ("valkey", "username"),
        ("ca", "root.pem"),
        ("app", "token"),
    ]
    assert missing(needs(worker), FOUND) is None
    assert credentials(worker, FOUND).valkey_password == "hunter22"
    assert needs(resource(body("HybridPipeline"))) == ()


def test_the_brokers_secrets_count() -> None:
    rabbitmq = {
        "url": "amqps://r",
        "auth": {"secretRef": {"name": "user"}},
        "tls": {"caSecretRef": {"name": "ca", "key": "root.pem"}},
    }
    celery = {"app": "a:b", "broker": {"type": "RabbitMQ", "rabbitmq": rabbitmq}}
    worker = resource(body("ValkeyWorker", celery=celery))
    keys = [(need.name, need.key) for need in needs(worker)]
    assert keys == [("user", "username"), ("user", "password"), ("ca", "root.pem")]
    found = {"user": SecretData("u", {"username": b"me", "password": b"rabbit22"}), "ca": FOUND["ca"]}
    known = credentials(worker, found)
    assert (known.rabbitmq_username, known.rabbitmq_password, known.rabbitmq_ca) == ("me", "rabbit22", "PEM")
    sqs = {"region": "eu-west-1", "auth": {"secretRef": {"name": "aws"}}}
    celery = {"app": "a:b", "broker": {"type": "SQS", "sqs": sqs}}
    assert [need.key for need in needs(resource(body("ValkeyWorker", celery=celery)))] == [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ]


def test_what_is_missing_is_named() -> None:
    worker = resource(body("ValkeyWorker", **WITH_SECRETS))
    absent = {name: data for name, data in FOUND.items() if name != "ca"}
    assert "Secret ca does not exist" in str(missing(needs(worker), absent))
    keyless = {**FOUND, "valkey": SecretData("u1", {"pass": b"x"})}
    assert str(missing(needs(worker), keyless)) == "Secret valkey has no key password: add it"


def test_the_hash_follows_needed_values_only_and_is_salted() -> None:
    wanted = (SecretNeed("valkey", "password"),)
    base = hash_of(wanted, FOUND)
    other = {"valkey": SecretData("u1", {"password": b"hunter22\n", "extra": b"changed"})}
    assert hash_of(wanted, other) == base
    assert hash_of(wanted, {"valkey": SecretData("u1", {"password": b"new"})}) != base
    assert hash_of(wanted, {"valkey": SecretData("u9", FOUND["valkey"].values)}) != base


def test_p6_values_are_hidden_in_texts_of_others_and_in_reprs() -> None:
    text = without_secrets("cannot log in with hunter22 as abcdefgh", FOUND)
    assert text == "cannot log in with *** as ***"
    worker = resource(body("ValkeyWorker", **WITH_SECRETS))
    assert "hunter22" not in repr(FOUND) + repr(credentials(worker, FOUND))
