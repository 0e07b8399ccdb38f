"""Checks for the exercises, one module a sheet: independent oracles, and a hint for each usual mistake."""
