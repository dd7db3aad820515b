-- GET /materialized-views/restatements: what changed in closed periods, newest first.
--
-- Invariant: only views that the caller may read.

CREATE OR REPLACE FUNCTION api.restatements(
    view text DEFAULT NULL,
    period text DEFAULT NULL,
    limite text DEFAULT NULL
)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET search_path = pg_catalog, pg_temp
AS $restatements$
DECLARE
    v_cities text[];
    v_views text[];
    -- The cities in the key of each view that has no other city.
    v_city_columns jsonb;
    v_view text;
    v_period date;
    v_limit integer;
    v_answer json;
BEGIN
    v_cities := kpi_engine.token_cities();
    v_views := ARRAY(
        SELECT kpi.view_name
        FROM kpi_engine.kpi_views() AS kpi
        WHERE
            kpi.time_column IS NOT NULL
            AND has_table_privilege(kpi_engine.api_caller(), kpi.relation, 'SELECT')
    );
    v_view := kpi_engine.choice_parameter('view', view, VARIADIC v_views);
    IF v_cities IS NOT NULL THEN
        SELECT coalesce(jsonb_object_agg(kpi.view_name, city.names), '{}') INTO v_city_columns
        FROM kpi_engine.kpi_views() AS kpi
        CROSS JOIN LATERAL (
            SELECT jsonb_agg(key.name) AS names
            FROM kpi_engine.kpi_columns(kpi.relation) AS kpi_column
            LEFT JOIN unnest(kpi.key_columns) AS key (name)
                ON key.name IN (kpi_column.column_name, kpi_column.column_name || '_key')
            WHERE kpi_column.city_key IS NOT NULL
            HAVING bool_and(key.name IS NOT NULL)
        ) AS city;
        IF NOT v_city_columns ? v_view THEN
            PERFORM kpi_engine.raise_scope_error(
                format('the key of view %s has no city', v_view));
        END IF;
    END IF;
    v_period := kpi_engine.period_parameter('period', period);
    -- No other day begins a period of this view, and '[]' would look as if nothing had changed.
    PERFORM kpi_engine.raise_bad_parameter(
        'period', restatements.period, kpi_engine.period_words(kpi.grain)
    )
    FROM kpi_engine.kpi_views(coalesce(v_view, '')) AS kpi
    WHERE
        date_trunc(kpi.grain, v_period::timestamp)::date <> v_period
        OR kpi.grain <> 'month' AND length(restatements.period) < 10;
    v_limit := kpi_engine.integer_parameter('limit', limite, 1, 1000, 100);
    -- A caller may be allowed to read more or fewer views than before.
    PERFORM kpi_engine.begin_reading_all(format(
        'restatements-%s-%s', md5(array_to_string(v_views, ',')), (
            -- A restored database may give a number a second time.
            SELECT concat(
                max(changed.restatement_id),
                '-' || (extract(EPOCH FROM max(changed.since)) * 1000000)::bigint
            )
            FROM kpi_engine.restatements AS changed
        )
    ));
    IF kpi_engine.csv_is_wanted() THEN
        PERFORM set_config(
            'analytics.answer_columns',
            '["view", "period", "column", "reported", "current", "difference", "difference_pct", '
            '"reported_at", "since", "run_id", "requests_changed", "previous", "key"]',
            true);
    END IF;
    SELECT json_agg(shown)
    INTO v_answer
    FROM (
        SELECT
            changed.view_name AS view,
            changed.period,
            changed.column_name AS column,
            changed.reported,
            changed.current,
            changed.difference,
            changed.difference_pct,
            kpi_engine.iso_instant(changed.reported_at) AS reported_at,
            kpi_engine.iso_instant(changed.since) AS since,
            changed.run_id,
            -- It counts the requests of all cities.
            CASE WHEN v_cities IS NULL THEN changed.requests_changed END AS requests_changed,
            changed.previous,
            changed.row_key AS key
        FROM kpi_engine.restatements AS changed
        WHERE
            changed.view_name = ANY (v_views)
            AND (
                v_cities IS NULL
                OR (
                    SELECT bool_and(
                        coalesce(
                            analytics.city_key(changed.row_key ->> city.name) = ANY (v_cities),
                            false
                        )
                    )
                    FROM jsonb_array_elements_text(v_city_columns -> changed.view_name)
                        AS city (name)
                )
            )
            AND (v_view IS NULL OR changed.view_name = v_view)
            AND (v_period IS NULL OR changed.period = v_period)
        ORDER BY changed.restatement_id DESC
        LIMIT v_limit
    ) AS shown;
    RETURN coalesce(v_answer, '[]');
EXCEPTION
    WHEN query_canceled THEN
        PERFORM kpi_engine.raise_timeout();
        RETURN NULL;
    WHEN SQLSTATE 'PGRST' OR read_only_sql_transaction THEN
        RAISE;
    WHEN OTHERS THEN
        PERFORM kpi_engine.raise_fault('restatements', SQLSTATE, SQLERRM);
        RETURN NULL;
END;
$restatements$;

COMMENT ON FUNCTION api.restatements(text, text, text) IS
'Changes of figures of closed periods, newest first: what was reported at closing, what is shown '
'since this change, by which refresh. view: a KPI view with a time; period: YYYY-MM, or the first '
'day as YYYY-MM-DD; limit: 1 to 1000, default 100. requests_changed counts all cities: it is NULL '
'for a token of some.';

REVOKE ALL ON FUNCTION api.restatements(text, text, text) FROM public;
GRANT EXECUTE ON FUNCTION api.restatements(text, text, text)
TO analytics_lector, analytics_operador;
