"""PII: e-mail addresses and public IP addresses give way to fixed ones, as datatrove's PIIFormatter does.

Replacements go round in each document, so a document's text depends on it alone; datatrove's go round in the order
in which a process happens to see documents.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from .batch import TextBatch
from .rule import Rule

_LOCAL_CHARACTER = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# From the @ on; with what may stand before it this is the expression of datatrove.
_DOMAIN = re.compile(
    rf"@(?:(?:{_LABEL}\.)+{_LABEL}|\[(?:{_OCTET}\.){{3}}(?:{_OCTET}|[A-Za-z0-9-]*[A-Za-z0-9]:)\])"
)
_LOCAL_START = re.compile(rf"\b{_LOCAL_CHARACTER}")
_NOT_LOCAL = re.compile(r"[^A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]")
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:]|\.\d)")


class _Span(NamedTuple):
    start: int
    end: int


class _Masked(NamedTuple):
    text: str
    emails: int
    ips: int


class PiiFilter(BaseModel):
    """Mask personal addresses. It has no rule: the counts are there to be looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    emails: bool = True
    ips: bool = Field(default=True, description="IPv4 addresses")
    ipv6: bool = Field(default=False, description="IPv6 addresses too")
    public_ips_only: bool = Field(default=True, description="Leave addresses of private networks as they are")
    email_replacements: tuple[str, ...] = Field(
        default=("email@example.com", "firstname.lastname@example.org"), min_length=1
    )
    ip_replacements: tuple[str, ...] = Field(
        default=(
            "22.214.171.124",
            "126.96.36.199",
            "188.8.131.52",
            "184.108.40.206",
            "220.127.116.11",
            "18.104.22.168",
        ),
        min_length=1,
        description="datatrove's: random ones that answered no request",
    )
    ipv6_replacements: tuple[str, ...] = Field(
        default=("2001:db8::1",), min_length=1, description="Of the range kept free for documentation"
    )

    def scores(self, batch: TextBatch) -> dict[str, NDArray[np.float64]]:
        """How many addresses of each kind are masked."""
        masked = self._masked(batch)
        return {
            "pii_emails": np.array([text.emails for text in masked], dtype=np.float64),
            "pii_ips": np.array([text.ips for text in masked], dtype=np.float64),
        }

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def edit(self, batch: TextBatch) -> list[str]:
        return [masked.text for masked in self._masked(batch)]

    def _masked(self, batch: TextBatch) -> list[_Masked]:
        return batch.once(self, lambda: [self._mask(text) for text in batch.texts])

    def _mask(self, text: str) -> _Masked:
        emails = list(_emails(text)) if self.emails else []
        text = _replace(text, emails, self.email_replacements)
        ipv4 = self._addresses(_IPV4, text) if self.ips else []
        text = _replace(text, ipv4, self.ip_replacements)
        ipv6 = self._addresses(_IPV6, text) if self.ipv6 else []
        text = _replace(text, ipv6, self.ipv6_replacements)
        return _Masked(text, len(emails), len(ipv4) + len(ipv6))

    def _addresses(self, pattern: re.Pattern[str], text: str) -> list[_Span]:
        return [_Span(*match.span()) for match in pattern.finditer(text) if self._is_meant(match[0])]

    def _is_meant(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        # Of IPv6 only 2000::/3 is given out (RFC 4291): `a::b` in a program is no address.
        is_public = address.is_global and (address.version == 4 or int(address) >> 125 == 1)
        return is_public or not self.public_ips_only


def _emails(text: str) -> Iterator[_Span]:
    r"""What `\b{character}+(?:\.{character}+)*@{domain}` finds, in time linear in the text.

    That expression tries every word of a long run such as base64 as a beginning, each up to the run's end. Here each
    `@` is looked at once, backwards.
    """
    done = 0
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at)
        start = None if domain is None else _local_start(text, done, at)
        if domain is not None and start is not None:
            done = domain.end()
            yield _Span(start, done)
        at = text.find("@", max(done, at + 1))


def _local_start(text: str, done: int, at: int) -> int | None:
    """Where the longest local part that ends before `at` begins, `done` at the earliest; None: there is none."""
    first = at
    while first > done and not _NOT_LOCAL.match(text, first - 1) and text[first - 1 : first + 1] != "..":
        first -= 1
    if first == at or text[at - 1] == ".":
        return None
    found = _LOCAL_START.search(text, first, at)
    return None if found is None else found.start()


def _replace(text: str, spans: list[_Span], replacements: tuple[str, ...]) -> str:
    parts = []
    done = 0
    for span, replacement in zip(spans, cycle(replacements), strict=False):
        parts += [text[done : span.start], replacement]
        done = span.end
    return "".join([*parts, text[done:]])
