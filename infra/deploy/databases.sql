-- One database each: MLflow and Optuna cannot share one. That of the catalogue, `lagrange`, is made by PostgreSQL's image.
CREATE DATABASE mlflow;
CREATE DATABASE optuna;
