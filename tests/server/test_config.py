"""What a server refuses to be started with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trustme

from vecdb.errors import InvalidArgument
from vecdb_server.commands import serve
from vecdb_server.config import (
    IO_ENGINES,
    KEYS,
    PREFIX,
    ServerConfig,
    check_environment,
    is_loopback,
    read_api_keys,
    split_address,
)

DIRECTORY = Path("data")
KEY = "0123456789abcdef"


def refusal(**settings: object) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        ServerConfig(directory=DIRECTORY, **settings)  # type: ignore[arg-type]
    return caught.value


def test_defaults_are_loopback_without_key():
    config = ServerConfig(directory=DIRECTORY)
    assert config.listen == "127.0.0.1:7700"
    assert config.threads >= 4
    assert not config.tls


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.9.9.9:1", "localhost:7700", "[::1]:7700"])
def test_loopback_needs_no_key(listen):
    assert ServerConfig(directory=DIRECTORY, listen=listen).listen == listen


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:7700", "[::]:7700", "192.168.1.1:7700", "example.org:7700"]
)
def test_other_addresses_need_key_and_tls(listen, tls_files):
    tls = {"tls_cert": tls_files.cert, "tls_key": tls_files.key}
    neither = refusal(listen=listen)
    assert neither.reason == "EXPOSED"
    assert neither.field == "listen"
    for wanted in ("--api-key-file FILE", "VECDB_SERVER__API_KEY", "--tls-cert FILE --tls-key"):
        assert wanted in neither.hint
    assert "--require-key" in neither.hint
    assert ServerConfig(directory=DIRECTORY, listen=listen, require_key=True, **tls).tls
    no_tls = refusal(listen=listen, api_keys=(KEY,))
    assert "--tls-cert" in no_tls.hint
    assert "--api-key-file" not in no_tls.hint
    no_key = refusal(listen=listen, **tls)
    assert "--api-key-file" in no_key.hint
    assert "--tls-cert" not in no_key.hint
    assert ServerConfig(directory=DIRECTORY, listen=listen, api_keys=(KEY,), **tls).tls


@pytest.mark.parametrize(
    "listen",
    ["", "7700", ":7700", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "::1:7700", "[::1]", "h:65536"],
)
def test_malformed_address_is_refused(listen):
    assert refusal(listen=listen).field == "listen"


def test_address_is_split():
    assert split_address("[::1]:7700") == ("::1", 7700)
    assert split_address("localhost:0") == ("localhost", 0)


def test_only_addresses_of_this_machine_are_loopback():
    assert is_loopback("localhost")
    assert is_loopback("::1")
    assert not is_loopback("localhost.example.org")
    assert not is_loopback("::")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threads", 0),
        ("threads", 5000),
        ("threads", True),
        ("threads", 2.5),
        ("uploads", 0),
        ("queue", -1),
        ("drain_seconds", -0.1),
        ("drain_seconds", float("nan")),
        ("drain_seconds", 1e9),
        ("log_level", "loud"),
        ("io_engine", "magic"),
    ],
)
def test_value_out_of_range_is_refused(name, value):
    assert refusal(**{name: value}).field == name


@pytest.mark.parametrize("key", ["", "short", "x" * 15, "with a space 12345", "höflich-höflich-hö"])
def test_weak_key_is_refused_and_not_told(key):
    error = refusal(api_keys=(KEY, key))
    assert error.field == "api_keys[1]"
    assert not key or key not in str(error)


def test_keys_are_not_in_the_repr():
    config = ServerConfig(directory=DIRECTORY, api_keys=(KEY,))
    assert KEY not in repr(config)
    assert KEY not in str(config)


@pytest.mark.parametrize("given", ["cert", "key"])
def test_half_of_tls_is_refused(given, tls_files):
    missing = "key" if given == "cert" else "cert"
    error = refusal(**{f"tls_{given}": getattr(tls_files, given)})
    assert error.field == f"tls_{missing}"
    assert f"--tls-{missing}" in str(error)


def test_missing_tls_file_is_refused(tls_files):
    error = refusal(tls_cert=Path("no-such-file"), tls_key=tls_files.key)
    assert error.field == "tls_cert"
    assert "No such file" in error.message


def test_tls_file_without_pem_is_refused(tls_files, tmp_path):
    text = tmp_path / "cert.txt"
    text.write_text("not a certificate")
    assert refusal(tls_cert=text, tls_key=tls_files.key).field == "tls_cert"


def test_key_of_another_certificate_is_refused(tls_files, tmp_path):
    other = tmp_path / "key.pem"
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(other)
    other.chmod(0o600)
    assert (
        "no certificate and its private key"
        in refusal(tls_cert=tls_files.cert, tls_key=other).message
    )


def test_private_key_that_everybody_reads_is_refused(tls_files, tmp_path):
    exposed = tmp_path / "key.pem"
    exposed.write_bytes(tls_files.key.read_bytes())
    exposed.chmod(0o644)
    error = refusal(tls_cert=tls_files.cert, tls_key=exposed)
    assert error.reason == "SECRET_EXPOSED"
    exposed.chmod(0o640)  # a group of its own is customary
    ServerConfig(directory=DIRECTORY, tls_cert=tls_files.cert, tls_key=exposed)


# ---------------------------------------------------------------------------------- key files


def test_key_file_holds_one_key_a_line(tmp_path):
    path = tmp_path / "keys"
    path.write_text(f"# ours\n\n{KEY}\n  other-{KEY}  # theirs\n")
    path.chmod(0o600)
    assert read_api_keys(path, {}) == (KEY, f"other-{KEY}")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_key_file_of_others_is_refused(tmp_path, mode):
    path = tmp_path / "keys"
    path.write_text(KEY)
    path.chmod(mode)
    with pytest.raises(InvalidArgument, match="chmod 600") as caught:
        read_api_keys(path, {})
    assert caught.value.reason == "SECRET_EXPOSED"
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"# only a comment\n", b"\xff\xfe\x00"])
def test_key_file_without_key_is_refused(tmp_path, text):
    path = tmp_path / "keys"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(InvalidArgument, match=re.escape(str(path))):
        read_api_keys(path, {})


def test_missing_key_file_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="No such file"):
        read_api_keys(tmp_path / "none", {})


def test_key_comes_from_the_environment():
    assert read_api_keys(None, {"VECDB_SERVER__API_KEY": KEY}) == (KEY,)
    assert read_api_keys(None, {}) == ()


def test_empty_key_in_the_environment_does_not_open_the_server():
    keys = read_api_keys(None, {"VECDB_SERVER__API_KEY": ""})
    assert refusal(api_keys=keys).field == "api_keys[0]"


def test_two_sources_of_keys_are_refused(key_file):
    with pytest.raises(InvalidArgument, match="Keep one"):
        read_api_keys(key_file, {"VECDB_SERVER__API_KEY": KEY})


# -------------------------------------------------------------------------------- environment


def test_unknown_setting_in_the_environment_is_refused():
    with pytest.raises(InvalidArgument, match="VECDB_SERVER__LISTN") as caught:
        check_environment({"VECDB_SERVER__LISTN": "x", "VECDB_CLIENT__X": "1", "PATH": "/bin"})
    assert "VECDB_SERVER__LISTEN" in caught.value.hint


def test_engines_that_read_pages_are_those_of_the_database():
    from vecdb import database  # loads the engine, which no other test here needs

    (option,) = [one for one in serve.params if one.name == "io_engine"]
    assert IO_ENGINES == tuple(option.type.choices) == database.IO_ENGINES
    assert ServerConfig(directory=DIRECTORY).io_engine == "auto"


def test_known_settings_in_the_environment_are_accepted():
    check_environment({PREFIX + key: "x" for key in KEYS})
