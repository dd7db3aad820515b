-- What every reading answer of the HTTP API begins with: is there data, and from when?
--
-- Invariant: the ETag changes with every refresh that may have changed what the view shows, and
-- JSON and CSV never share one. Raises 503 instead of answering from a view that was never
-- populated. Sets analytics.answer_columns, the header of CSV that has no row.

CREATE OR REPLACE FUNCTION analytics.begin_reading(p_view_name text)
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
                'W/"%s-%s-%s%s"', view_state.published_version,
                extract(EPOCH FROM view_state.calculated_at)::bigint,
                analytics.is_stale(view_state)::integer,
                CASE WHEN analytics.csv_is_wanted() THEN '-csv' END
            )),
            json_build_object('X-Data-Version', view_state.published_version::text),
            json_build_object('X-Calculated-At', analytics.iso_instant(view_state.calculated_at)),
            json_build_object(
                'X-Refreshed-At', analytics.iso_instant(view_state.last_success_at)),
            json_build_object('X-Stale', analytics.is_stale(view_state)::text)
        )::text,
        true
    )
    FROM analytics.view_state
    INNER JOIN pg_class
        ON pg_class.relname = view_state.view_name
        AND pg_class.relnamespace = 'analytics'::regnamespace
        AND pg_class.relispopulated
    WHERE view_state.view_name = p_view_name AND view_state.last_success_at IS NOT NULL;
    IF NOT FOUND THEN
        PERFORM analytics.raise_http_error(
            503,
            format('view %s was never populated', p_view_name),
            'There is no data to answer from yet.',
            'POST /materialized-views/refresh, or wait for the daily refresh.'
        );
    END IF;
    IF analytics.csv_is_wanted() THEN
        PERFORM set_config('analytics.answer_columns', json_agg(attname ORDER BY attnum)::text, true)
        FROM pg_attribute
        WHERE
            attrelid = format('analytics.%I', p_view_name)::regclass
            AND attnum > 0
            AND NOT attisdropped;
    END IF;
END;
$begin_reading$;

COMMENT ON FUNCTION analytics.begin_reading(text) IS
'Headers of a reading answer: ETag and X-Data-Version by data version, X-Calculated-At, '
'X-Refreshed-At, X-Stale. Error: status 503 where the view was never populated.';

REVOKE ALL ON FUNCTION analytics.begin_reading(text) FROM public;
