"""A bracket of any number, fused by a method for three: which three it gets, and what the others add."""
