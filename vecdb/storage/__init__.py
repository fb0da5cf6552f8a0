"""Where do the bytes lie, and when are they safe? LMDB tables, checksums, the one writer thread.

This layer moves bytes and knows no vector's meaning. FORMAT.md, beside this file, documents every
value; ``format`` is the source of its tables.
"""
