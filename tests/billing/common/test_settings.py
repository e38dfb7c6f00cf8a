"""Settings fail at start, with every fault named."""

from __future__ import annotations

import base64

import pytest

from billing.common.settings import SettingsError, load_settings

KEY = base64.b64encode(bytes(32)).decode()


def test_an_empty_environment_gives_the_defaults_of_an_embedded_service() -> None:
    settings = load_settings({})
    assert (settings.host, settings.port, settings.database_url) == ("127.0.0.1", 8080, "")
    assert settings.data_dir.is_absolute()
    assert settings.line_tolerance == 1


def test_the_owner_is_the_service_role_unless_it_is_named() -> None:
    api, owner = "postgresql://api:x@db/bonus", "postgresql:///bonus?host=/run/pg&user=bonus"
    assert load_settings({"DATABASE_URL": api}).owner_database_url == api
    both = load_settings({"DATABASE_URL": api, "BONUS_OWNER_DATABASE_URL": owner})
    assert (both.database_url, both.owner_database_url) == (api, owner)


def test_all_faults_are_named_at_once_with_an_example_each() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            {"BONUS_PORT": "http", "BONUS_TIMEZONE": "Moskau", "BONUS_LINE_TOLERANCE": "1e-2"},
            needs=["DATABASE_URL", "BONUS_SECRET_KEY"],
        )
    assert [fault.split()[0] for fault in caught.value.faults] == [
        "DATABASE_URL",
        "BONUS_PORT",
        "BONUS_TIMEZONE",
        "BONUS_SECRET_KEY",
        "BONUS_LINE_TOLERANCE",
    ]
    assert "BONUS_PORT must be a whole number from 1 to 65535; for example BONUS_PORT=8080" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("name", "value", "wrong"),
    [
        ("DATABASE_URL", "mysql://u:hush@h/db", "must start with postgresql://"),
        ("DATABASE_URL", "postgresql://u:hush@h", "must name the database"),
        ("DATABASE_URL", "postgresql:///db", "must name a host"),
        ("DATABASE_URL", "postgresql://u:hush@h:99999/db", "must be a URL with a right host"),
        ("DATABASE_URL", "postgresql://u:hu/sh@h:5432/db", "must be a URL with a right host"),
        ("REDIS_URL", "http://h", "must start with redis://"),
        ("REDIS_URL", "unix://redis.sock", "must give the socket's whole path"),
        ("BONUS_SECRET_KEY", "hush", "must be base64"),
        ("BONUS_SECRET_KEY", base64.b64encode(b"hush" * 7).decode(), "at least 32 bytes"),
        ("BONUS_PORT", "0", "from 1 to 65535"),
        ("BONUS_LANES", "9" * 5000, "from 1 to 64"),
        ("BONUS_HOLD_SECONDS", "٣", "must be a whole number"),
        ("BONUS_PHONE_REGION", "ru", "two capital letters"),
        ("BONUS_EXPIRY_NOTICE_DAYS", "7;1", "from 1 to 365, or off"),
        ("BONUS_LOG_LEVEL", "loud", "must be one of"),
    ],
)
def test_a_wrong_value_is_refused_and_never_repeated(name: str, value: str, wrong: str) -> None:
    with pytest.raises(SettingsError, match=wrong) as caught:
        load_settings({name: value})
    assert len(caught.value.faults) == 1
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BONUS_API_PROCESES", "BONUS_API_PROCESSES"),
        ("BONUS_TIME_ZONE", "BONUS_TIMEZONE"),
        ("BONUS_DATADIR", "BONUS_DATA_DIR"),
        ("BONUS_HOLD_SECOND", "BONUS_HOLD_SECONDS"),
    ],
)
def test_a_misspelt_setting_is_not_silently_the_default(name: str, meant: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: "hush", "BONUS_PORT": "http"})
    assert caught.value.faults[1:] == [f"{name} is not a setting; did you mean {meant}?"]


def test_variables_of_others_are_left_alone() -> None:
    load_settings(
        dict.fromkeys(
            ("BONUS_KEY", "BONUS_API_PASSWORD", "BONUS_OWNER_PASSWORD", "BONUS_PUBLISH",
             "BONUS_SUPERVISOR", "BONUS_URL", "BONUS_PROGRAM_FILE"), "x"
        )
    )  # fmt: skip


def test_the_secrets_are_not_in_the_repr() -> None:
    given = {"DATABASE_URL": "postgresql://u:hush@h/db", "BONUS_SECRET_KEY": KEY}
    settings = load_settings(given)
    assert settings.secret_key == bytes(32)
    assert "hush" not in repr(settings)
    assert "x00" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "days"), [("", (7,)), ("7, 30,7", (30, 7)), ("off", ()), ("1", (1,))]
)
def test_days_of_notice_are_a_list_or_off(given: str, days: tuple[int, ...]) -> None:
    assert load_settings({"BONUS_EXPIRY_NOTICE_DAYS": given}).expiry_notice_days == days


@pytest.mark.parametrize(("cores", "processes"), [(None, 1), (1, 1), (2, 2), (64, 2)])
def test_two_api_processes_where_there_are_cores_for_them(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, processes: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert load_settings({}).api_processes == processes
    assert load_settings({"BONUS_API_PROCESSES": "3"}).api_processes == 3
