"""The compose file hands on what an operator may set (issue: two commands)."""

from __future__ import annotations

import re

from tests.conftest import REPOSITORY

OF_THE_IMAGE = {"BONUS_HOST", "BONUS_PORT", "BONUS_DATA_DIR"}


def test_every_setting_reaches_the_services_that_need_it() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    settings = (REPOSITORY / "billing/common/settings.py").read_text()
    known = set(re.findall(r'"(BONUS_[A-Z_]+)"', settings)) - {"BONUS_"} - OF_THE_IMAGE
    given = set(re.findall(r"^ +(BONUS_[A-Z_]+): ", compose, re.MULTILINE))
    assert known <= given
    assert "BONUS_LOG_LEVEL" in known


def test_secrets_of_sms_providers_reach_api_and_worker() -> None:
    compose = (REPOSITORY / "docker-compose.yml").read_text()
    assert "x-sms-secrets: &sms-secrets\n  - path: .env.sms\n    required: false\n" in compose
    for service in ("api", "worker"):
        body = re.search(rf"^  {service}:\n((?:    .*\n)+)", compose, re.MULTILINE)
        assert body is not None
        assert "    env_file: *sms-secrets\n" in body[1]
    assert ".env.sms\n" in (REPOSITORY / ".gitignore").read_text()
