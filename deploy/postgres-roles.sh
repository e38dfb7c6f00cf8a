#!/usr/bin/env bash
# Runs once, when the database's volume is new: the roles the service logs in as.
# bonus owns the schemas (migrations, audits); bonus_api serves; bonus_app is what it acts as.
set -euo pipefail
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set=owner_password="$BONUS_OWNER_PASSWORD" --set=api_password="$BONUS_API_PASSWORD" <<'SQL'
CREATE ROLE bonus LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE bonus_api LOGIN PASSWORD :'api_password';
CREATE ROLE bonus_app NOLOGIN;
GRANT bonus_app TO bonus_api;
GRANT bonus_app TO bonus WITH ADMIN OPTION;
ALTER DATABASE bonus OWNER TO bonus;
SQL
