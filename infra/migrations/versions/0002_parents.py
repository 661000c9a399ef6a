"""Members that start from what another member has become, and knobs that move in a training."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("members", sa.Column("parent", sa.Integer))
    op.add_column("members", sa.Column("parent_epoch", sa.Integer))
    op.add_column("members", sa.Column("start", sa.Integer, nullable=False, server_default="0"))
    op.add_column("members", sa.Column("schedule", sa.Text, nullable=False, server_default="{}"))
