"""Files that a sweep leaves. Read `exports` first: it writes all of them, and exports a config on demand.

`forms` are the forms of a config, `script` is one of them that trains without Lagrange, and `report` is the page with every figure.
"""
