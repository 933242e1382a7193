"""Comparing methods: the demo's few prompts, and declared grids with their reports."""
