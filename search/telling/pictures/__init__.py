"""Pictures of a sweep as PNG files. Read `lambda_curve` first.

`front` and `pareto` draw two metrics against each other, `strip` shows models side by side.
"""
