"""``vecdb serve`` that kills itself: POINT STRIKE DIR [OPTIONS], a point of ``worker.POINTS``."""

import sys

from worker import kill_at

from vecdb_server.commands import serve

if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    serve(sys.argv[3:])
