-- Begins each reading answer of the HTTP API: checks that there are data, and sets the headers.
--
-- Invariant: the ETag changes with each refresh that may have changed what the view shows, and with
-- p_variant. It raises 503 instead of answering from a view that was never populated. It sets the
-- header line of CSV without rows.

CREATE OR REPLACE FUNCTION kpi_engine.begin_reading(
    p_view_name text, p_variant text DEFAULT '', p_origen text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $begin_reading$
BEGIN
    PERFORM kpi_engine.set_reading_headers(
        format(
            '%s-%s-%s-%s%s', view_state.published_version,
            (extract(EPOCH FROM view_state.calculated_at) * 1000000)::bigint,
            -- make migrate puts another one in its place when its definition changes.
            pg_class.oid,
            kpi_engine.is_stale(view_state.last_success_at)::integer,
            concat('-' || extract(EPOCH FROM outside.as_of), p_variant)
        ),
        view_state.published_version,
        view_state.calculated_at,
        view_state.last_success_at,
        kpi_engine.is_stale(view_state.last_success_at),
        outside.as_of,
        p_origen => p_origen,
        p_view_name => p_view_name
    ), kpi_engine.set_answer_columns(pg_class.oid)
    FROM kpi_engine.view_state
    INNER JOIN pg_class
        ON pg_class.relname = view_state.view_name
        AND pg_class.relnamespace = 'analytics'::regnamespace
        AND pg_class.relispopulated
    CROSS JOIN LATERAL (SELECT kpi_engine.outside_as_of(p_view_name) AS as_of) AS outside
    WHERE view_state.view_name = p_view_name AND view_state.last_success_at IS NOT NULL;
    IF NOT FOUND THEN
        PERFORM kpi_engine.raise_http_error(
            503,
            format('view %s was never populated', p_view_name),
            'There is no data to answer from yet.',
            'POST /materialized-views/refresh, or wait for the daily refresh.'
        );
    END IF;
END;
$begin_reading$;

COMMENT ON FUNCTION kpi_engine.begin_reading(text, text, text) IS
'Headers of a reading answer: ETag and X-Data-Version by data version, X-Calculated-At, '
'X-Refreshed-At, X-Stale, and X-As-Of if the view reads tables of other services. p_variant tells '
'apart what changes by more than the data. p_origen: the one whose figures it has; NULL: all. '
'Error: status 503 where the view was never populated.';

REVOKE ALL ON FUNCTION kpi_engine.begin_reading(text, text, text) FROM public;
