"""Has a question been answered before, in these words or in others, for the one who asks now?"""

from __future__ import annotations

from .cache import Cache
from .caches import Caches
from .policy_parse import PolicySource

__all__ = ["Cache", "Caches", "PolicySource"]
