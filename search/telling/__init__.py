"""Who is told about a sweep, and what a sweep leaves behind. Read `text.answer` first: what is printed is what all others show.

- `text`: what a terminal shows, while a sweep runs and at its end.
- `mlflow`: what MLflow is told, and how it looks there.
- `pictures`: PNG files, drawn without a display. `figures`: the same and more as plotly's plain data, one file each.
- `files`: what is written at the end and exported: configs, scripts, the report.
- `looking`: sweeps that are kept, asked for by their names, from a notebook or a command.

Three files serve several of these rooms: `listener` says how one hears of a sweep, `view` is a sweep as figures and files need it, and
`promised` says what a promise is for. A room imports only rooms above it in this list.
"""
