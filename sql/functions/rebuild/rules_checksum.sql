-- Checksums the rules of all derived tables.

CREATE OR REPLACE FUNCTION kpi_engine.rules_checksum()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rules_checksum$
    SELECT md5(string_agg(rules.table_name || rules.checksum, ',' ORDER BY rules.table_name))
    FROM kpi_engine.rules_of_derived_tables() AS rules;
$rules_checksum$;

COMMENT ON FUNCTION kpi_engine.rules_checksum() IS
'Checksum of the rules by which the derived tables are computed, and of the source binding.';

REVOKE ALL ON FUNCTION kpi_engine.rules_checksum() FROM public;
