import pytest

from headrace.controller.settings import BadSettingError, from_environment


def test_nothing_set_means_everywhere() -> None:
    settings = from_environment({})
    assert settings.namespaces == ()
    assert settings.watches("any")
    assert settings.concurrency == 10


def test_namespaces_are_a_list() -> None:
    settings = from_environment({"HEADRACE_NAMESPACES": " shop, ,blog,shop"})
    assert settings.namespaces == ("shop", "blog")
    assert not settings.watches("other")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADRACE_CONCURRENCY", "many"),
        ("HEADRACE_CONCURRENCY", "0"),
        ("HEADRACE_RESYNC_SECONDS", "nan"),
        ("HEADRACE_HTTP_PORT", "-1"),
        ("HEADRACE_LOG_LEVEL", "LOUD"),
        ("VAPI_RETRY_BACKOFF_CAP", "3600"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(BadSettingError, match=name):
        from_environment({name: value})


def test_identities_differ() -> None:
    assert from_environment({}).identity != from_environment({}).identity
