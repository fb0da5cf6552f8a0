"""What does an operator type? ``vecdb``: one file a noun, each loaded when it is used.

Nothing here imports numpy, numba, LMDB or gRPC at the top: help and remote commands start at once.
"""
