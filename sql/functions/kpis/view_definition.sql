-- Returns the query of a view. Each relation in it has its schema.
--
-- Invariant: it leaves no lock. To read the definition of a materialized view locks that view. The
-- end of the subtransaction frees the lock: the first refresh of a view must not wait for a reader
-- of analytics.rows_now().

CREATE OR REPLACE FUNCTION kpi_engine.view_definition(p_relation regclass)
RETURNS text
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $view_definition$
DECLARE
    v_definition text;
BEGIN
    RAISE EXCEPTION USING MESSAGE = rtrim(pg_get_viewdef(p_relation), ';');
EXCEPTION WHEN raise_exception THEN
    GET STACKED DIAGNOSTICS v_definition := MESSAGE_TEXT;
    RETURN v_definition;
END;
$view_definition$;

COMMENT ON FUNCTION kpi_engine.view_definition(regclass) IS
'Text of a view or materialized view, without a lock that stays. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.view_definition(regclass) FROM public;
