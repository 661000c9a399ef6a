"""Runs the catalogue's migrations inside the transaction that `infra.catalogue.engine` opened: its lock keeps two starts apart."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="lagrange_version", transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
