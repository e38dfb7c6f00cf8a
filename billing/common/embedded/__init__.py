"""A real PostgreSQL 18 and a real Redis for a machine that has none.

account.py    which operating system user the servers run as
process.py    starting, watching and finding a server's process
memory.py     how much of the machine's memory PostgreSQL takes
postgres.py   EmbeddedPostgres
bootstrap.py  the roles and databases of a new cluster
redis.py      EmbeddedRedis
"""

from billing.common.embedded.postgres import EmbeddedPostgres
from billing.common.embedded.process import EmbeddedError
from billing.common.embedded.redis import EmbeddedRedis

__all__ = ["EmbeddedError", "EmbeddedPostgres", "EmbeddedRedis"]
