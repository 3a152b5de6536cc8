"""Tests of the built-in schedules."""
