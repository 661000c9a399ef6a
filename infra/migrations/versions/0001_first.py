"""Sweeps, members, reports."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sweeps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(100), nullable=False, unique=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("objective", sa.String(200), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("dataset", sa.String(200), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished", sa.DateTime(timezone=True)),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("provenance", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("candidates", sa.Text),
        sa.Column("lock_host", sa.String(200)),
        sa.Column("lock_pid", sa.Integer),
        sa.Column("lock_token", sa.String(100)),
        sa.Column("lock_heartbeat", sa.Double),
    )
    op.create_table(
        "members",
        sa.Column("sweep_id", sa.Integer, sa.ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("arm", sa.String(100), nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("config_hash", sa.String(12), nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(20)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("rung_score", sa.Double),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("epochs", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "reports",
        sa.Column("sweep_id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rung_score", sa.Double),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["sweep_id", "number"], ["members.sweep_id", "members.number"], ondelete="CASCADE"),
    )
