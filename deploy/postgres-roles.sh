#!/usr/bin/env bash
# Runs once, when the database's volume is new: the roles the service logs in as.
# bonus owns the schemas (migrations, audits); bonus_api serves; bonus_app is what it acts as;
# bonus_bi is for BI tools: it reads the views of the schema bi and nothing else. It can log in
# once BONUS_BI_PASSWORD is set.
set -euo pipefail
psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set=owner_password="$BONUS_OWNER_PASSWORD" --set=api_password="$BONUS_API_PASSWORD" \
    --set=bi_password="${BONUS_BI_PASSWORD:-}" <<'SQL'
CREATE ROLE bonus LOGIN CREATEROLE PASSWORD :'owner_password';
CREATE ROLE bonus_api LOGIN PASSWORD :'api_password';
CREATE ROLE bonus_app NOLOGIN;
GRANT bonus_app TO bonus_api;
GRANT bonus_app TO bonus WITH ADMIN OPTION;
CREATE ROLE bonus_bi LOGIN;
ALTER ROLE bonus_bi SET default_transaction_read_only = on;
ALTER ROLE bonus_bi SET statement_timeout = '15min';
SELECT format('ALTER ROLE bonus_bi PASSWORD %L', :'bi_password') WHERE :'bi_password' <> '' \gexec
ALTER DATABASE bonus OWNER TO bonus;
SQL
