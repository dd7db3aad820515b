-- What every reading answer of the HTTP API begins with: is there data, and from when?
--
-- Invariant: the ETag changes with every refresh that may have changed what the view shows.
-- Raises 503 instead of answering from a view that was never populated.

CREATE OR REPLACE FUNCTION kpi_engine.begin_reading(p_view_name text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $begin_reading$
BEGIN
    PERFORM set_config(
        'response.headers',
        json_build_array(
            json_build_object('Cache-Control', 'private, max-age=0, must-revalidate'),
            json_build_object('ETag', format(
                'W/"%s-%s-%s"', view_state.published_version,
                extract(EPOCH FROM view_state.calculated_at)::bigint,
                kpi_engine.is_stale(view_state)::integer
            )),
            json_build_object('X-Data-Version', view_state.published_version::text),
            json_build_object('X-Calculated-At', kpi_engine.iso_instant(view_state.calculated_at)),
            json_build_object(
                'X-Refreshed-At', kpi_engine.iso_instant(view_state.last_success_at)),
            json_build_object('X-Stale', kpi_engine.is_stale(view_state)::text)
        )::text,
        true
    )
    FROM kpi_engine.view_state
    INNER JOIN pg_class
        ON pg_class.relname = view_state.view_name
        AND pg_class.relnamespace = 'analytics'::regnamespace
        AND pg_class.relispopulated
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

COMMENT ON FUNCTION kpi_engine.begin_reading(text) IS
'Headers of a reading answer: ETag and X-Data-Version by data version, X-Calculated-At, '
'X-Refreshed-At, X-Stale. Error: status 503 where the view was never populated.';

REVOKE ALL ON FUNCTION kpi_engine.begin_reading(text) FROM public;
