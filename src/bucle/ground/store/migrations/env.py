"""How Alembic runs: on the connection that `Database.migrate` hands in."""

from alembic import context

from bucle.ground.store.database import METADATA

# METADATA names constraints; migrations must name them alike in both databases.
context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=False)
context.run_migrations()
