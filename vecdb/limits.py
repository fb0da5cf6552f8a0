"""Every bound that the engine, the server and the client enforce, in one place.

Sizes end in ``_BYTES``, times in ``_SECONDS``. The client carries a generated copy of this file.
"""

from __future__ import annotations

import re

MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest request or answer on the wire, and largest atomic batch."""
UPLOAD_CHUNK_BYTES = 4 * 1024 * 1024
"""Target size of one chunk of a streaming upload."""
UPLOAD_WINDOW = 4
"""Chunks of an upload that may be in flight before the oldest is acknowledged."""

DIM = 16_384
K = 16_384
QUERIES = 1_000
"""Queries in one search call."""
BATCH_RECORDS = 100_000
"""Records in one atomic batch."""
GET_RECORDS = 10_000
"""Ids in one get, and records in one page of a scroll."""

DIVERSITY_K = 1_000
"""Matches that a diverse search gives at most."""
FACETS = 10_000
"""Values that a count by value tells at most."""
GROUPS = 1_000
GROUP_SIZE = 100
"""Groups of a search by groups, and matches of one of them; both together give at most ``K``."""
EFFORT = 64
"""Largest effort of a search: the multiple of the default shortlist."""
CODE_BITS = (1, 2, 4, 8)
"""Bits that the code of a vector may have in a dimension."""
PAGE_BYTES = (4_096, 8_192, 16_384)
"""Sizes that the pages of a collection's vectors may have."""
BUDGET_BYTES = 1024 * 1024
"""Least memory budget of a collection."""

ID_BYTES = 256
PAYLOAD_BYTES = 1024 * 1024
PAYLOAD_DEPTH = 64
FIELDS = 256
"""Declared payload fields of one collection."""
FIELD_NAME_BYTES = 128
KEYWORD_BYTES = 256
COLLECTIONS = 1_000
IDEMPOTENCY_KEY_BYTES = 64

KEYS = 1_000
"""API keys that a database holds, those that were revoked included."""
KEY_COLLECTIONS = 100
"""Collections that one of them may name."""
KEY_RATE = 1_000_000
"""Largest bound of a key's calls, a second or at once."""
KEY_OVERLAP_SECONDS = 30 * 24 * 3600.0
"""How long the old secret of a rotated key may stay valid."""

RECORD_TENANTS = 4_096
"""Tenants that may see one record."""
TENANT_COPIES = 4_096
"""Tenants that may see by one copied set, and copied sets that one of them may see."""
TENANTS_PAGE = 10_000
"""Tenants in one page of a list."""
TENANT_RATE = KEY_RATE

FILTER_DEPTH = 16
FILTER_NODES = 1_024
FILTER_VALUES = 10_000
FILTER_WORDS = 32
"""Words of a text that one comparison names."""
FILTER_TEXT = 8_192
"""Characters that they may come in."""
RADIUS_M = 20_038_000
"""Largest radius of a circle on the earth: no two points are farther apart."""

WRITE_QUEUE = 1_024
"""Writes that may wait for the writer thread."""
WRITE_QUEUE_BYTES = 256 * 1024 * 1024
GROUP_BYTES = 64 * 1024 * 1024
"""Bytes of waiting writes that one transaction gathers."""

BUILD_BYTES = 512 * 1024 * 1024
"""Memory that building a segment may always take, beside the records themselves."""
BUILD_BYTES_MAX = 4 * 1024 * 1024 * 1024
"""More than this it takes only where it is told to; between, a quarter of the machine's."""

TIMEOUT_SECONDS = 30.0
UPLOAD_ACK_SECONDS = 60.0
IDEMPOTENCY_SECONDS = 24 * 3600.0

NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
"""Collections, aliases, tenants and API keys; matched in full."""

CACHES = 100
"""Caches of one database."""
CACHE_CATEGORIES = 256
"""Categories of one cache."""
CACHE_SCOPE_KEYS = 16
CACHE_SCOPE_BYTES = 4_096
"""A scope in its canonical form."""
CACHE_PROMPT_BYTES = 1024 * 1024
CACHE_VALUE_BYTES = 16 * 1024 * 1024
CACHE_META_BYTES = 64 * 1024
CACHE_TAGS = 16
"""Tags of one entry."""
CACHE_SOURCES = 32
"""Source documents of one entry."""
CACHE_TAG_BYTES = 256
CACHE_WAITERS = 16_384
"""Callers of one cache that may wait for somebody else's answer."""
