"""Generate the wire code from vecdb.proto into the client, or check that it is up to date.

    python proto/generate.py            write client/vecdb_client/wire/vecdb_pb2*.py
    python proto/generate.py --check    compare with what is committed; exit 1 if it differs

Runs under an interpreter with the pinned grpcio-tools: `make proto` makes one (.venv-proto).
The old generator is deliberate: its output runs on protobuf 4.25 up to the newest.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PIN = "1.62.3"
ROOT = Path(__file__).resolve().parent.parent
WIRE = Path("vecdb_client/wire")
FILES = ("vecdb_pb2.py", "vecdb_pb2.pyi", "vecdb_pb2_grpc.py")
NO_GENERATOR = 3


def generate(target: Path) -> None:
    """Write the three files under ``target``/vecdb_client/wire."""
    from grpc_tools import protoc

    (target / WIRE).mkdir(parents=True, exist_ok=True)
    # The virtual path makes protoc emit `from vecdb_client.wire import vecdb_pb2`.
    status = protoc.main(
        [
            "protoc",
            f"-I{WIRE}={ROOT / 'proto'}",
            f"--python_out={target}",
            f"--pyi_out={target}",
            f"--grpc_python_out={target}",
            str(ROOT / "proto" / "vecdb.proto"),
        ]
    )
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    try:
        found = version("grpcio-tools")
    except PackageNotFoundError:
        found = "none"
    if found != PIN:
        print(f"expected grpcio-tools {PIN}, found {found}: run `make proto`", file=sys.stderr)
        return NO_GENERATOR
    if not check:
        generate(ROOT / "client")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        stale = [
            name
            for name in FILES
            if (Path(scratch) / WIRE / name).read_bytes()
            != (ROOT / "client" / WIRE / name).read_bytes()
        ]
    if stale:
        print(f"out of date: {', '.join(stale)}: run `make proto`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
