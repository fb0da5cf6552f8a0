"""Which stored rows are nearest to a query? Searches over arrays that the collection hands in.

``flat`` compares the query with every row: exact, and what everything else is measured against.
"""
