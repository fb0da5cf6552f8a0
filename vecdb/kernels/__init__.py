"""How are vectors compared and ranked? Compiled loops over plain arrays, and nothing else.

Importing a module of this package compiles its kernels, or loads them from numba's cache. Kernels
hold no lock and no state: callers own every output and scratch array.
"""
