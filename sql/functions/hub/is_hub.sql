-- Tells whether this installation is a hub: its facts come from sites, not from operational tables.
--
-- Invariant: the source of a hub are empty tables of the engine's own (kpi_engine.make_hub_source).

CREATE OR REPLACE FUNCTION kpi_engine.is_hub()
RETURNS boolean
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $is_hub$
    SELECT EXISTS (
        SELECT FROM kpi_engine.installation WHERE installation.source_schema = 'kpi_engine'
    );
$is_hub$;

COMMENT ON FUNCTION kpi_engine.is_hub() IS
'True at a hub: make migrate HUB=1 installed it. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.is_hub() FROM public;
