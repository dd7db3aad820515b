-- Counts the requests before or after a publish, whichever are more.
--
-- Invariant: the publish before counts too. Else a loss of many requests would leave too few for
-- the gate to look at them.

CREATE OR REPLACE FUNCTION kpi_engine.requests_around(p_view_name text, p_run_id bigint)
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $requests_around$
BEGIN
    -- PL/pgSQL keeps the plan: each publish calls this.
    RETURN coalesce(
        (
            SELECT max(around.requests_known)
            FROM (
                SELECT publications.requests_known
                FROM kpi_engine.publications
                WHERE publications.view_name = p_view_name AND publications.run_id <= p_run_id
                ORDER BY publications.run_id DESC
                LIMIT 2
            ) AS around
        ),
        -- A view without a history, or publishes before the column.
        (SELECT sum(month_totals.requests) FROM kpi_engine.month_totals),
        0
    );
END;
$requests_around$;

COMMENT ON FUNCTION kpi_engine.requests_around(text, bigint) IS
'Requests in the marketplace at a publish of a view or at the one before it, whichever are more. '
'Internal to the gate and to analytics.health_problems().';

REVOKE ALL ON FUNCTION kpi_engine.requests_around(text, bigint) FROM public;
