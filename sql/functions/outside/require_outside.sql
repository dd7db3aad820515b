-- Refuses to compute a view at this moment over a table of another service that is not the declared
-- one.

CREATE OR REPLACE FUNCTION kpi_engine.require_outside(p_view oid)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $require_outside$
DECLARE
    v_problem record;
BEGIN
    SELECT problems.* INTO v_problem
    FROM kpi_engine.outside_problems((
        SELECT pg_class.relname FROM pg_class
        WHERE pg_class.oid = p_view AND pg_class.relkind = 'm'
    )) AS problems
    WHERE problems.is_fatal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%', v_problem.message
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = v_problem.remedy;
    END IF;
END;
$require_outside$;

COMMENT ON FUNCTION kpi_engine.require_outside(oid) IS
'Raises 55000 if a KPI view reads an outside table that is not as declared. Internal to '
'kpi_engine.rows_of_relation_now().';

REVOKE ALL ON FUNCTION kpi_engine.require_outside(oid) FROM public;
