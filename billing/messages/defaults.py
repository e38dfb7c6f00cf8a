"""The texts of a new service. The chain puts its own in their place.

Codes come first: most phones show the beginning of a message before it is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from billing.messages.wording import Kind
from billing.programs.words import Language

DEFAULTS: Final[Mapping[tuple[Kind, Language], str]] = {
    ("consent", "ru"): "Код {code}. Назвав его кассиру, вы соглашаетесь на обработку персональных "
    "данных и участие в бонусной программе {brand}.",
    ("consent", "en"): "Code {code}. By telling it to the cashier you agree to the processing of "
    "your personal data and join the bonus program {brand}.",
    ("code", "ru"): "Код {code}[, спишется бонусов: {points}].[ Действует {minutes} мин.] Никому, "
    "кроме кассира, его не говорите. {brand}",
    ("code", "en"): "Code {code}[, points to be spent: {points}].[ Valid for {minutes} min.] Tell "
    "it to nobody but the cashier. {brand}",
    ("accrual", "ru"): "Начислено бонусов: {points}[, доступны с {date}]. Баланс: {balance}. "
    "{brand}",
    ("accrual", "en"): "Points earned: {points}[, available from {date}]. Balance: {balance}. "
    "{brand}",
    ("redemption", "ru"): "Списано бонусов: {points}. Баланс: {balance}. {brand}",
    ("redemption", "en"): "Points spent: {points}. Balance: {balance}. {brand}",
    ("activation", "ru"): "Доступно бонусов: {points}. Баланс: {balance}. {brand}",
    ("activation", "en"): "Points now available: {points}. Balance: {balance}. {brand}",
    ("expiring", "ru"): "{date} сгорит бонусов: {points}. Успейте потратить! {brand}",
    ("expiring", "en"): "Points expiring on {date}: {points}. {brand}",
    ("level_change", "ru"): "Ваш новый уровень: {level}. {brand}",
    ("level_change", "en"): "Your new level: {level}. {brand}",
    ("balance_reply", "ru"): "Бонусов: {points}[, в т.ч. акционных {promo}].[ Будет начислено: "
    "{deferred}.][ Уровень: {level}.] {brand}",
    ("balance_reply", "en"): "Points: {points}[, of them promotional {promo}].[ To come: "
    "{deferred}.][ Level: {level}.] {brand}",
    ("stop_reply", "ru"): "Больше сообщений не будет. {brand}",
    ("stop_reply", "en"): "You will get no more messages. {brand}",
    ("confirmed_reply", "ru"): "Спасибо, номер подтверждён. {brand}",
    ("confirmed_reply", "en"): "Thank you, your number is confirmed. {brand}",
}
