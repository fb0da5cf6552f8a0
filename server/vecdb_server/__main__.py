"""``python -m vecdb_server DIR``: the same as ``vecdb serve DIR``."""

from .commands import serve

serve(prog_name="python -m vecdb_server")
