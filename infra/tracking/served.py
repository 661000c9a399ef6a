"""MLflow's own server as `lagrange ui` starts it, by the entry point `mlflow.app` of this package. Importing it loads MLflow."""

from __future__ import annotations

from mlflow.server.fastapi_app import app as mlflow_app

from infra.tracking.first_page import FirstPage

app = FirstPage(mlflow_app)
