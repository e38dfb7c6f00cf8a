"""On what a scenario gives, as text."""

from __future__ import annotations

from billing.programs import words
from billing.programs.model import ScenarioRule
from billing.programs.words import Language, tell

_ON = {
    "registration": ("once, when the customer registers", "один раз, при регистрации клиента"),
    "verification": ("once, when the customer is verified", "один раз, при подтверждении клиента"),
    "first_purchase": ("for the first purchase", "за первую покупку"),
}


def occasion(rule: ScenarioRule, language: Language) -> str:
    """When, how often and to whom it gives."""
    if rule.on in _ON:
        return tell(language, *_ON[rule.on])
    if rule.on == "birthday":
        return _birthday(rule, language)
    if rule.on == "referral" and rule.to == "referred":
        return tell(
            language,
            "once, to a customer whom another has referred",
            "один раз, клиенту, которого привёл другой клиент",
        )
    if rule.on == "referral":
        return tell(language, "for each customer referred", "за каждого приведённого клиента")
    return tell(language, f"for each event {rule.on}", f"за каждое событие {rule.on}")


def _birthday(rule: ScenarioRule, language: Language) -> str:
    before = words.counted(rule.days_before, words.DAY, language, genitive=True)
    after = words.counted(rule.days_after, words.DAY, language, genitive=True)
    told = tell(
        language,
        f"once a year, from {before} before the birthday to {after} after it",
        f"раз в год, от {before} до дня рождения и до {after} после него",
    )
    if rule.days_before == rule.days_after == 0:
        told = tell(language, "once a year, on the birthday", "раз в год, в день рождения")
    if not rule.known_before:
        return told
    known = words.counted(rule.known_before, words.DAY, language)
    return told + tell(
        language,
        f", if the date was known {known} ahead",
        f", если дата была известна за {known}",
    )
