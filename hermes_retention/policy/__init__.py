"""Decisions, and nothing else: no clock, no disk, no logging. Same input, same plan, byte for byte."""
