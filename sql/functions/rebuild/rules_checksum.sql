-- Checksums the rules by which the requests of a rebuild are computed: those of all derived tables,
-- and those of the time zone.
--
-- Invariant: all batches of one rebuild are computed by the same rules. The days of requests that
-- count are in the years 2000 to 2099.

CREATE OR REPLACE FUNCTION kpi_engine.rules_checksum()
RETURNS text
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $rules_checksum$
    SELECT md5(concat_ws(
        ' ',
        string_agg(rules.table_name || rules.checksum, ',' ORDER BY rules.table_name),
        kpi_engine.zone_rules(analytics.setting('time_zone'), '1999-12-31', '2100-01-01')
    ))
    FROM kpi_engine.rules_of_derived_tables() AS rules;
$rules_checksum$;

COMMENT ON FUNCTION kpi_engine.rules_checksum() IS
'Checksum of the rules by which the derived tables are computed, of the source binding, and of the '
'rules of the time zone. Internal to the rebuild.';

REVOKE ALL ON FUNCTION kpi_engine.rules_checksum() FROM public;
