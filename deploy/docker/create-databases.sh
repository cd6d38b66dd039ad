#!/bin/sh
# Run by the PostgreSQL image on an empty volume: creates a database per service, open only to its own account.
set -eu

for service in identity galleries media janitor; do
  upper=$(echo "$service" | tr '[:lower:]' '[:upper:]')
  eval "password=\$${upper}_PASSWORD"
  psql --username="${POSTGRES_USER:-postgres}" --dbname=postgres --no-psqlrc --quiet \
    --set=ON_ERROR_STOP=1 --set=service="$service" --set=password="$password" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
