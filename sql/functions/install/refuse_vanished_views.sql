-- Refuses to take a KPI view away that a function of the package still names.
--
-- Invariant: no function fails when it is called, and none shows less, because its view is gone.
-- PostgreSQL does not know what the body of a function reads. make migrate asks this at its end,
-- when what has no file is dropped.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_vanished_views(p_views text[])
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refuse_vanished_views$
DECLARE
    v_view text;
    v_functions text;
BEGIN
    FOREACH v_view IN ARRAY p_views LOOP
        SELECT string_agg(functions.name, ', ' ORDER BY functions.name) INTO v_functions
        FROM kpi_engine.functions_naming(v_view) AS functions;
        IF v_functions IS NOT NULL THEN
            RAISE EXCEPTION 'functions name materialized view %, which is gone: %',
                v_view, v_functions
                USING ERRCODE = 'dependent_objects_still_exist',
                      DETAIL = 'They would fail, or show less; nothing was changed.',
                      HINT = 'Take the name out of their files, or put the file of the view back.';
        END IF;
    END LOOP;
END;
$refuse_vanished_views$;

COMMENT ON FUNCTION kpi_engine.refuse_vanished_views(text[]) IS
'Raises 2BP01 if a function of the package names one of these views, which were dropped. Internal '
'to make migrate.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_vanished_views(text[]) FROM public;
