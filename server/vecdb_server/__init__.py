"""gRPC server over the vecdb engine: ``vecdb serve DIR`` or ``python -m vecdb_server DIR``."""
