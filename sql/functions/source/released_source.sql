-- While the operational tables are released, the src_ views read this: an error, never an empty
-- answer.

CREATE OR REPLACE FUNCTION kpi_engine.released_source()
RETURNS SETOF integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $released_source$
BEGIN
    RAISE EXCEPTION 'the operational tables are released'
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = 'analytics.release_source() was called; nothing was read.',
              HINT = 'SELECT analytics.bind_source(); or: make migrate';
END;
$released_source$;

COMMENT ON FUNCTION kpi_engine.released_source() IS
'Raises 55000: the src_ views read it after analytics.release_source().';

REVOKE ALL ON FUNCTION kpi_engine.released_source() FROM public;
