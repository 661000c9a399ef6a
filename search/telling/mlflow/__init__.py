"""A sweep in MLflow. Read `mirror` first: it tells a tracker what the catalogue holds.

`portrait` says how a member looks, `shown` which pictures there are, `description` what stands above the numbers, `ui_view` which columns
and charts are there without a click. All of it can be made again from the catalogue's rows.
"""
