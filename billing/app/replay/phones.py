"""Made-up phone numbers that can be nobody's.

In every area code of North America 555-0100 to 555-0199 are kept for fiction. A hundred area codes
give each numbered customer 0 to 9,999 a number of his own: customer 906 is +1 (10th code) 555 0106.
A second hundred serve customers known by other ids, placed by hash, the next free one on collision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

_NUMBERED_CODES = (
    "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 "
    "229 231 234 239 240 248 251 252 253 254 256 260 262 267 269 270 276 281 301 302 "
    "303 304 305 307 308 309 310 312 313 314 315 316 317 318 319 320 321 323 325 330 "
    "334 336 337 339 347 351 352 360 361 386 401 402 404 405 406 407 408 409 410 412 "
    "413 414 415 417 419 423 425 432 434 435 440 443 469 478 479 480 484 501 502 503"
)
_HASHED_CODES = (
    "601 602 603 605 606 607 608 609 610 612 614 615 616 617 618 619 620 623 626 630 "
    "631 636 641 646 650 651 660 661 662 678 682 701 702 703 704 706 707 708 712 713 "
    "714 715 716 717 718 719 720 724 727 731 732 734 740 754 757 760 763 765 770 772 "
    "773 774 775 781 785 786 801 802 803 804 805 806 808 810 812 813 814 815 816 817 "
    "818 828 830 831 832 843 845 847 848 850 856 857 858 859 860 862 863 864 865 870"
)
_NUMBERED = _NUMBERED_CODES.split()
_HASHED = _HASHED_CODES.split()
_SIZE = 100 * len(_NUMBERED)


def numbered(number: int) -> str:
    """The E.164 phone of customer `number`. Raises ValueError outside 0 to 9,999."""
    if not 0 <= number < _SIZE:
        raise ValueError(
            f"there are fictional numbers for customers 0 to {_SIZE - 1}, not {number}"
        )
    return _phone(_NUMBERED, number)


def hashed(ids: Iterable[str]) -> dict[str, str]:
    """An E.164 phone for each id; the same set of ids always gets the same phones."""
    taken: dict[int, str] = {}
    for name in sorted(set(ids)):
        if len(taken) == _SIZE:
            raise ValueError(f"there are fictional numbers for {_SIZE} customers, not more")
        place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % _SIZE
        while place in taken:
            place = (place + 1) % _SIZE
        taken[place] = name
    return {name: _phone(_HASHED, place) for place, name in taken.items()}


def _phone(codes: list[str], place: int) -> str:
    return f"+1{codes[place // 100]}55501{place % 100:02d}"
