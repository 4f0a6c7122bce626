import pytest

from cnnkit.errors import UsageError
from cnnkit.server.settings import ServerSettings, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_this_machine_alone_needs_no_token(host):
    assert is_loopback(host)
    assert ServerSettings(host=host).token is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_addresses_that_others_reach_need_a_token(host):
    with pytest.raises(UsageError, match=f"{host} can be reached by other machines: give --token"):
        ServerSettings(host=host)
    assert ServerSettings(host=host, token="x" * 16).host == host


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("token", "short", "16 letters at least"),
        ("port", 70_000, "port must be between 0 and 65535"),
        ("queue", 0, "queue must be a whole number from 1"),
        ("max_megabytes", -1.0, "max-megabytes must be more than 0"),
        ("upload_seconds", float("nan"), "upload-seconds must be more than 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(setting, value, message):
    with pytest.raises(UsageError, match=message):
        ServerSettings(**{setting: value})


def test_a_token_comes_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("CNNKIT_TOKEN", "y" * 20)
    assert ServerSettings(host="0.0.0.0").token == "y" * 20
    assert ServerSettings(token="x" * 20).token == "x" * 20
