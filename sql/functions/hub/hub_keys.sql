-- At a site: the keys of the facts that changed after the version that a hub has.
--
-- SECURITY DEFINER: the role of a hub reads no other table of ours.

CREATE OR REPLACE FUNCTION kpi_engine.hub_keys(p_table_name text, p_version bigint)
RETURNS SETOF uuid
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET row_security = off
AS $hub_keys$
    SELECT DISTINCT changed.key
    FROM kpi_engine.hub_changes
    CROSS JOIN LATERAL unnest(hub_changes.keys) AS changed (key)
    WHERE hub_changes.table_name = p_table_name AND hub_changes.version > p_version;
$hub_keys$;

COMMENT ON FUNCTION kpi_engine.hub_keys(text, bigint) IS
'Keys of the rows of a fact table that came, changed or went after version p_version, each once.';

REVOKE ALL ON FUNCTION kpi_engine.hub_keys(text, bigint) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.hub_keys(text, bigint) TO analytics_hub;
