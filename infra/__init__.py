"""Where sweeps run and are kept. Knows nothing of search, objectives or torch.

`ray` is where they run. `storage` (paths, URLs, members' files), `catalogue` (what ran, in SQL: the truth) and `tracking` (MLflow, which
shows it) are where they are kept. `migrations` are the catalogue's, and `deploy` holds files with which others start a cluster. The files
that lie here serve several of them; begin with `errors` and `machine`.
"""
