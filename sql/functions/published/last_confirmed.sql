-- Says which refresh was the last to find that a view shows what a publish left.

CREATE OR REPLACE FUNCTION kpi_engine.last_confirmed(p_publication kpi_engine.publications)
RETURNS timestamptz
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $last_confirmed$
    SELECT greatest(
        p_publication.published_at,
        p_publication.confirmed_at,
        CASE
            WHEN NOT EXISTS (
                SELECT FROM kpi_engine.publications AS later
                WHERE
                    later.view_name = p_publication.view_name
                    AND later.run_id > p_publication.run_id
            ) THEN (
                SELECT view_state.last_success_at
                FROM kpi_engine.view_state
                WHERE view_state.view_name = p_publication.view_name
            )
        END
    );
$last_confirmed$;

COMMENT ON FUNCTION kpi_engine.last_confirmed(kpi_engine.publications) IS
'Instant of the last successful refresh after which the view still showed this publish. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.last_confirmed(kpi_engine.publications) FROM public;
