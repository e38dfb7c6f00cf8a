"""Whether what the audience's condition names of the catalog exists."""

from __future__ import annotations

from msgspec.structs import replace

from billing.campaigns.definition import Terms, moved
from billing.catalog.service import Catalog
from billing.common.errors import ValidationFailed
from billing.programs.names import check_names


async def check_audience(catalog: Catalog, terms: Terms) -> None:
    """Raises ValidationFailed for a channel or store that there is not."""
    if terms.audience is None:
        return
    named = replace(terms.gift, when=terms.audience)
    try:
        check_names(named, catalog.current(), {})
    except ValidationFailed:
        await catalog.refresh()  # It may have come this very second, by another process.
        try:
            check_names(named, catalog.current(), {})
        except ValidationFailed as failed:
            raise ValidationFailed([moved(error) for error in failed.errors]) from None
