"""What each broker's error means to people: the real classes of the real libraries."""

import re
import ssl
import urllib.error
from email.message import Message

import _pulsar
import pytest
import redis.exceptions
import valkey.exceptions

from headrace.bridge.broker_words import BrokerWords
from headrace.bridge.publisher import PublishError
from headrace.process.failure import REASONS, failure_of
from headrace.process.health import SILENT
from tests.unit.test_documents import ROOT


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (valkey.exceptions.NoPermissionError("User x has no permissions to run the 'get' command"), "NotPermitted"),
        (valkey.exceptions.ResponseError("ACL failure in script: No permissions to access a key"), "NotPermitted"),
        (redis.exceptions.NoPermissionError("User x has no permissions to run the 'get' command"), "NotPermitted"),
        (valkey.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "ValkeyFull"),
        (valkey.exceptions.ResponseError("OOM command not allowed"), "ValkeyFull"),
        (valkey.exceptions.ReadOnlyError("You can't write against a read only replica."), "ReadOnly"),
        (valkey.exceptions.BusyLoadingError("Valkey is loading the dataset in memory"), "Loading"),
        (valkey.exceptions.ResponseError("WRONGTYPE orders is a string and should be a list"), "WrongType"),
        (valkey.exceptions.ResponseError("MISCONF Valkey is configured to save RDB snapshots"), "DiskRefused"),
        (valkey.exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), "TooFewReplicas"),
        (valkey.exceptions.ResponseError("MOVED 3999 127.0.0.1:6381"), "ClusterUnsupported"),
        (
            valkey.exceptions.ResponseError("CROSSSLOT Keys don't hash to the same slot"),
            "ClusterUnsupported",
        ),
        (valkey.exceptions.ResponseError("CLUSTERDOWN Hash slot not served"), "ClusterUnsupported"),
        (valkey.exceptions.AuthenticationError("invalid username-password pair"), "AuthenticationFailed"),
        (valkey.exceptions.ResponseError("NOAUTH Authentication required."), "AuthenticationFailed"),
        (valkey.exceptions.ResponseError("something quite new"), "ServerRefused"),
        (valkey.exceptions.ConnectionError("Error 111 connecting to valkey:6379."), "Unreachable"),
        (valkey.exceptions.TimeoutError("Timeout reading from socket"), "Unreachable"),
        (ConnectionResetError(), "Unreachable"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "CertificateRefused"),
        (_pulsar.TopicTerminated("Pulsar error: TopicTerminated"), "TopicTerminated"),
        (_pulsar.ProducerBlockedQuotaExceededError("…"), "QuotaExceeded"),
        (_pulsar.ProducerBlockedQuotaExceededException("…"), "QuotaExceeded"),
        (_pulsar.ProducerBusy("…"), "ProducerBusy"),
        (_pulsar.ConsumerBusy("…"), "ConsumerBusy"),
        (_pulsar.AuthorizationError("…"), "AuthorizationFailed"),
        (_pulsar.IncompatibleSchema("…"), "SchemaIncompatible"),
        (_pulsar.TopicNotFound("…"), "TopicNotFound"),
        (_pulsar.Timeout("…"), "Unreachable"),
        (_pulsar.LookupError("…"), "Unreachable"),
        (_pulsar.UnknownError("…"), "ServerRefused"),
        (PublishError("t did not take a frame: TopicTerminated", result="TopicTerminated"), "TopicTerminated"),
        (PublishError("no connection"), "Unreachable"),
        (urllib.error.HTTPError("http://p", 401, "Unauthorized", Message(), None), "AuthenticationFailed"),
        (urllib.error.HTTPError("http://p", 500, "Internal Server Error", Message(), None), "ServerRefused"),
        (urllib.error.URLError("connection refused"), "Unreachable"),
        (KeyError("partitions"), "UnexpectedError"),
    ],
)
def test_p8_an_error_is_told_by_its_reason(error: Exception, reason: str) -> None:
    found = failure_of(error)
    assert found.reason == reason
    assert type(error).__name__ in found.text or str(error) in found.text


def named_in_the_code() -> set[str]:
    """The reasons that modules give themselves, besides the table."""
    code = "\n".join(path.read_text() for path in (ROOT / "operator").rglob("*.py"))
    return {SILENT, *re.findall(r'\bFailure\(\s*"(\w+)"', code)}


@pytest.mark.parametrize("reason", sorted(REASONS | named_in_the_code()))
def test_each_reason_has_a_row_in_troubleshooting(reason: str) -> None:
    assert f"| `{reason}` |" in (ROOT / "docs" / "troubleshooting.md").read_text()


TOPIC = "persistent://public/enc/e"


def test_p8_the_brokers_own_words_are_kept_for_each_topic() -> None:
    words = BrokerWords()
    assert words.about(TOPIC) is None
    words.hear(
        f"[{TOPIC}-partition-3, ] Temporary error in creating producer: BrokerMetadataError"
        f" Encryption is required in {TOPIC}"
    )
    found = words.about(TOPIC)
    assert found is not None
    assert found.reason == "EncryptionRequired"
    assert f"Encryption is required in {TOPIC}" in found.text
    assert words.about("persistent://public/default/other") is None
    words.forget(TOPIC)
    assert words.about(TOPIC) is None


def test_p8_a_consumers_line_has_no_words_so_those_of_the_answer_before_it_count() -> None:
    words = BrokerWords()
    words.hear(
        "[127.0.0.1:1 -> 127.0.0.1:2] Received error response from server: ConsumerBusy (Subscription is of different"
        " type. Active subscription type of 'Shared' is different than the connecting consumer's type 'Failover'.)"
        " -- req_id: 35"
    )
    words.hear("[persistent://public/default/x-cb2, s, 6] Failed to create consumer: ConsumerBusy")
    found = words.about("persistent://public/default/x-cb2")
    assert found is not None
    assert found.reason == "ConsumerBusy"
    assert "Active subscription type of 'Shared'" in found.text


def test_p8_a_handshake_that_failed_speaks_for_all_topics() -> None:
    words = BrokerWords()
    words.hear("[127.0.0.1:43566 -> 127.0.0.1:17619] Handshake failed: certificate verify failed (SSL routines)")
    found = words.about(TOPIC)
    assert found is not None
    assert found.reason == "CertificateRefused"
