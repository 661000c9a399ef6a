"""Objectives: one file each, and the file name is the name in a spec."""
