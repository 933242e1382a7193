"""Whole runs with both models at hand: calibration, quality, the demo."""
