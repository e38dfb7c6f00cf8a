"""Messages, their words and their settings over HTTP."""

from __future__ import annotations

from typing import Any, cast, get_args
from uuid import UUID

from billing.common.answer import Answer
from billing.common.auth import Role
from billing.common.errors import NotFound, ValidationFailed
from billing.common.http import Call, Operation, operation
from billing.common.wire import page
from billing.messages.schemas import (
    MessageDetail,
    MessageOut,
    MessagePage,
    MessagesQuery,
    PreviewIn,
    SettingsOut,
    TemplateIn,
    TemplateList,
    TemplateOut,
    message_detail,
    message_out,
    template_out,
)
from billing.messages.service import Messages
from billing.messages.settings import MessageSettings
from billing.messages.templates import Template, Templates, must_be_right
from billing.messages.wording import KINDS, Kind
from billing.programs.words import Language

_TAG = "Messages"
_READERS: tuple[Role, ...] = ("support", "admin")
_WRITERS: tuple[Role, ...] = ("marketer", "admin")
_MESSAGES = "/v1/messages"
_TEMPLATES = "/v1/message-templates"
_SETTINGS = "/v1/message-settings"
_NEWEST = UUID(int=2**128 - 1)


@operation(
    "GET",
    _MESSAGES,
    summary="List messages to customers",
    tag=_TAG,
    may=_READERS,
    query=MessagesQuery,
    answers={200: MessagePage},
)
async def list_messages(call: Call[None, MessagesQuery]) -> Answer:
    """Newest first, without their texts. `status=dead`: no provider took it, or none can tell
    whether it did, and somebody should look."""
    query = call.query
    (before,) = query.after(UUID) or (_NEWEST,)
    rows = await call.use(Messages).page(before, query.limit + 1, query.customer_id, query.status)
    items = [message_out(one) for one in rows[: query.limit]]
    more = (rows[query.limit - 1].id,) if len(rows) > query.limit else ()
    return Answer.json(page(items, query.limit, *more))


@operation(
    "GET",
    f"{_MESSAGES}/{{id}}",
    summary="Read a message to a customer",
    tag=_TAG,
    may=_READERS,
    answers={200: MessageDetail},
)
async def read_message(call: Call) -> Answer:
    """Its status, and every attempt to send it."""
    return Answer.json(message_detail(*await call.use(Messages).get(_id(call))))


@operation(
    "POST",
    f"{_MESSAGES}/{{id}}/replay",
    summary="Send a dead message once more",
    tag=_TAG,
    may=("admin",),
    answers={202: MessageOut},
    conflicts=("message_not_dead",),
)
async def replay_message(call: Call) -> Answer:
    """With all its attempts anew, for a day. A code is never sent once more."""
    return Answer.json(message_out(await call.use(Messages).replay(_id(call))), 202)


@operation(
    "GET",
    _TEMPLATES,
    summary="List the texts of messages",
    tag=_TAG,
    may=(*_WRITERS, "support"),
    answers={200: TemplateList},
)
async def list_templates(call: Call) -> Answer:
    """Those in force, each with what it looks like, and how many SMS that takes."""
    found = await call.use(Templates).all()
    return Answer.json(TemplateList([template_out(one) for one in found]))


@operation(
    "GET",
    f"{_TEMPLATES}/{{kind}}/{{language}}",
    summary="Read the versions of a text",
    tag=_TAG,
    may=(*_WRITERS, "support"),
    answers={200: TemplateList},
)
async def list_template_versions(call: Call) -> Answer:
    """Newest first; the first is in force."""
    found = await call.use(Templates).versions(*_named(call))
    return Answer.json(TemplateList([template_out(one) for one in found]))


@operation(
    "PUT",
    f"{_TEMPLATES}/{{kind}}/{{language}}",
    summary="Change a text",
    tag=_TAG,
    may=_WRITERS,
    body=TemplateIn,
    answers={200: TemplateOut},
    examples={"code": {"text": "Код {code}[, оплата баллами: {points}]. {brand}"}},
)
async def write_template(call: Call[TemplateIn]) -> Answer:
    """A new version, in force at once; older ones are kept, so that what was sent can be shown.
    What is filled in cannot bring line breaks, addresses or anything like a code."""
    kind, language = _named(call)
    made = await call.use(Templates).write(kind, language, call.body.text, call.principal.name)
    return Answer.json(template_out(made))


@operation(
    "POST",
    f"{_TEMPLATES}/preview",
    summary="See what a text would look like",
    tag=_TAG,
    may=(*_WRITERS, "support"),
    body=PreviewIn,
    answers={200: TemplateOut},
    examples={
        "code": {
            "kind": "code",
            "language": "ru",
            "text": "Код {code}[, оплата баллами: {points}]. {brand}",
        }
    },
)
async def preview_template(call: Call[PreviewIn]) -> Answer:
    """With sample values, and how many SMS it takes. Nothing is kept."""
    body = call.body
    must_be_right(body.kind, body.text)
    draft = Template(kind=body.kind, language=body.language, version=0, text=body.text)
    return Answer.json(template_out(draft))


@operation(
    "GET",
    _SETTINGS,
    summary="Read the settings of messages",
    tag=_TAG,
    may=(*_WRITERS, "support"),
    answers={200: SettingsOut},
)
async def read_message_settings(call: Call) -> Answer:
    """What customers are told of, when not, and what they may write."""
    version, settings = await call.use(Templates).settings()
    return Answer.json(SettingsOut(version=version, settings=settings))


@operation(
    "PUT",
    _SETTINGS,
    summary="Change the settings of messages",
    tag=_TAG,
    may=_WRITERS,
    body=MessageSettings,
    answers={200: SettingsOut},
    examples={
        "accruals": {
            "brand": "Fresh",
            "language": "ru",
            "tell": {"accrual": True, "expiring": True},
            "quiet_hours": {"since": "22:00", "until": "09:00"},
        }
    },
)
async def write_message_settings(call: Call[MessageSettings]) -> Answer:
    """All of them: what is left out is as in a new service. `quiet_hours` null: none."""
    version = await call.use(Templates).write_settings(call.body, call.principal.name)
    return Answer.json(SettingsOut(version=version, settings=call.body))


def _id(call: Call[Any, Any]) -> UUID:
    try:
        return UUID(call.path["id"])
    except ValueError:
        raise ValidationFailed.at("/path/id", "must be a UUID") from None


def _named(call: Call[Any, Any]) -> tuple[Kind, Language]:
    """The kind and language in the path. Raises NotFound."""
    kind, language = call.path["kind"], call.path["language"]
    if kind not in KINDS or language not in get_args(Language):
        raise NotFound(f"There is no text {kind!r} in {language!r}; GET {_TEMPLATES} lists them.")
    return kind, cast(Language, language)


OPERATIONS: list[Operation] = [
    list_messages,
    read_message,
    replay_message,
    list_templates,
    list_template_versions,
    write_template,
    preview_template,
    read_message_settings,
    write_message_settings,
]
