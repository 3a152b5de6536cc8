"""Proof by killing: hosts are killed wherever and whenever they can be, and judged by what their jobs did.

`python -m tests.kills --kills 10000` does so as often as one likes.
"""
