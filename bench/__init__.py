"""Benchmarks; figures and commands are in README.md."""
