-- Confirms that the outside tables are right as they are now.
--
-- Invariant: it takes over server, options and database. It refuses a view that reads another table
-- or other columns than declared: only make migrate builds that anew.

CREATE OR REPLACE FUNCTION analytics.bind_outside_sources()
RETURNS integer
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $bind_outside_sources$
DECLARE
    v_problem record;
    v_bound integer;
BEGIN
    SELECT problems.message, problems.remedy INTO v_problem
    FROM kpi_engine.outside_problems() AS problems
    WHERE problems.needs_build
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%', v_problem.message
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'Nothing was changed.',
                  HINT = v_problem.remedy;
    END IF;
    UPDATE kpi_engine.outside_sources SET
        view_relation = format('analytics.%I', outside_sources.view_name)::regclass,
        source_relation = kpi_engine.outside_relation(outside_sources.source_name),
        binding = kpi_engine.outside_binding(
            format('analytics.%I', outside_sources.view_name)::regclass,
            kpi_engine.outside_relation(outside_sources.source_name)
        ),
        database_identity = kpi_engine.database_identity(),
        is_changed = true,
        version = NULL
    WHERE
        to_regclass(format('analytics.%I', outside_sources.view_name)) IS NOT NULL
        AND (outside_sources.binding, outside_sources.database_identity)
        IS DISTINCT FROM (
            kpi_engine.outside_binding(
                format('analytics.%I', outside_sources.view_name)::regclass,
                kpi_engine.outside_relation(outside_sources.source_name)
            ),
            kpi_engine.database_identity()
        );
    GET DIAGNOSTICS v_bound := ROW_COUNT;
    RETURN v_bound;
END;
$bind_outside_sources$;

COMMENT ON FUNCTION analytics.bind_outside_sources() IS
'Confirms that the foreign tables behind the KPI views lead to the right servers, after a restore, '
'a copy or a change of a server; returns how many declarations changed. The next refresh reads '
'them anew. For analytics_owner. Errors: 55000 if a view has to be built anew by make migrate.';

REVOKE ALL ON FUNCTION analytics.bind_outside_sources() FROM public;
