"""What happens to the records of one collection: written, kept in a tail, found, read back?"""
