"""The version of this client, as it tells servers."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
