-- One view of a digest, in one period: figures, differences, the line of 13 periods, targets.
--
-- Invariant: every number comes from kpi_engine.kpi_rows(), as the HTTP API gives it. With
-- p_is_reported the figures of closed periods are the reported ones. compare does not have these:
-- the difference is computed by the same rule, from the rows one period and one year before.
-- A figure is NULL where the API has NULL or no row.

CREATE OR REPLACE FUNCTION kpi_engine.digest_section(
    p_view_name text,
    p_column_names text[],
    p_period date,
    p_city_key text,
    p_is_reported boolean
)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $digest_section$
DECLARE
    v_view record;
    v_parts text[];
    v_rows json;
    v_now json;
    v_previous json;
    v_year json;
    v_compared json;
    v_compared_year json;
    v_period constant text := p_period::text;
    v_form text;
    v_first date;
    v_is_incomplete boolean;
    v_answer json;
BEGIN
    SELECT * INTO STRICT v_view FROM kpi_engine.kpi_views(p_view_name);
    v_form := CASE v_view.grain WHEN 'month' THEN 'YYYY-MM' ELSE 'YYYY-MM-DD' END;
    -- The line begins with the view, as compare does: before that nothing is known.
    v_first := (
        kpi_engine.kpi_rows(
            p_view_name,
            ARRAY[
                'order=' || v_view.time_column, 'limit=1', 'reported=' || p_is_reported::text,
                'to=' || to_char(p_period, v_form)
            ],
            'analytics_owner'
        ) -> 0 ->> v_view.time_column
    )::date;
    v_parts := ARRAY[
        'from=' || to_char(
            greatest(v_first, (p_period - 12 * ('1 ' || v_view.grain)::interval)::date), v_form
        ),
        'to=' || to_char(p_period, v_form),
        'fill=true'
    ];
    IF p_city_key IS NOT NULL THEN
        v_parts := v_parts || ('ciudad=' || p_city_key);
    END IF;
    v_rows := kpi_engine.kpi_rows(
        p_view_name,
        v_parts || ARRAY['limit=13', 'reported=' || p_is_reported::text],
        'analytics_owner'
    );
    IF v_rows -> 0 ->> v_view.time_column = v_period THEN
        v_now := v_rows -> 0;
    END IF;
    IF p_is_reported THEN
        SELECT
            (array_agg(listed.item)
                FILTER (WHERE listed.item ->> v_view.time_column = (
                    p_period - ('1 ' || v_view.grain)::interval
                )::date::text))[1],
            (array_agg(listed.item)
                FILTER (WHERE listed.item ->> v_view.time_column = (
                    p_period - interval '1 year'
                )::date::text))[1]
        INTO v_previous, v_year
        FROM json_array_elements(v_rows) AS listed (item);
    ELSIF v_now IS NOT NULL THEN
        v_compared := kpi_engine.kpi_rows(
            p_view_name, v_parts || ARRAY['limit=1', 'compare=previous'], 'analytics_owner'
        ) -> 0;
        v_compared_year := kpi_engine.kpi_rows(
            p_view_name, v_parts || ARRAY['limit=1', 'compare=year'], 'analytics_owner'
        ) -> 0;
    END IF;

    -- A month that no refresh saw the end of, such as in a preview, is not closed either; nor is one
    -- that lacks rows of an origin.
    v_is_incomplete := CASE
        WHEN p_is_reported THEN EXISTS (
            SELECT FROM kpi_engine.view_state
            WHERE
                view_state.view_name = p_view_name
                AND NOT EXISTS (
                    SELECT FROM kpi_engine.closings
                    WHERE
                        closings.view_name = p_view_name
                        AND closings.period = p_period
                        AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
                )
                AND least(view_state.last_success_at, view_state.counted_until) < kpi_engine.closes_at(
                    p_period, v_view.grain, p_period, 0, analytics.setting('time_zone')
                )
        )
        ELSE coalesce((v_compared ->> 'incompleto')::boolean, false)
    END;

    SELECT json_build_object(
        'view', p_view_name,
        'title_es', v_view.title_es,
        'title_en', v_view.title_en,
        'grain', v_view.grain,
        'period', p_period,
        'is_incomplete', v_is_incomplete,
        'city_key', p_city_key,
        'city', (
            SELECT listed.item ->> 'ciudad'
            FROM json_array_elements(v_rows) WITH ORDINALITY AS listed (item, place)
            WHERE listed.item ->> 'ciudad' IS NOT NULL
            ORDER BY listed.place
            LIMIT 1
        ),
        'rows', v_rows,
        'periods', (
            SELECT json_agg(listed.item -> v_view.time_column ORDER BY listed.place DESC)
            FROM json_array_elements(v_rows) WITH ORDINALITY AS listed (item, place)
        ),
        'figures', (
            SELECT json_agg(
                json_build_object(
                    'column', wanted.name,
                    'label_es', kpi.label_es,
                    'label_en', kpi.label_en,
                    'unit', kpi.unit,
                    'better', kpi.better,
                    'value', v_now -> wanted.name,
                    'has_row', v_now IS NOT NULL,
                    'previous', earlier.previous,
                    'previous_pct', CASE
                        WHEN p_is_reported THEN kpi_engine.difference_pct(
                            earlier.figure, earlier.previous)
                        ELSE (v_compared ->> (wanted.name || '_dif_pct'))::numeric
                    END,
                    'year', earlier.year,
                    'year_pct', CASE
                        WHEN p_is_reported THEN kpi_engine.difference_pct(
                            earlier.figure, earlier.year)
                        ELSE (v_compared_year ->> (wanted.name || '_dif_pct'))::numeric
                    END,
                    'line', (
                        SELECT json_agg(listed.item -> wanted.name ORDER BY listed.place DESC)
                        FROM json_array_elements(v_rows) WITH ORDINALITY AS listed (item, place)
                    )
                )
                ORDER BY wanted.place
            )
            FROM unnest(p_column_names) WITH ORDINALITY AS wanted (name, place)
            INNER JOIN kpi_engine.kpi_columns(v_view.relation) AS kpi
                ON kpi.column_name = wanted.name
            CROSS JOIN LATERAL (
                SELECT
                    (v_now ->> wanted.name)::numeric AS figure,
                    CASE
                        WHEN p_is_reported THEN v_previous ->> wanted.name
                        ELSE v_compared ->> (wanted.name || '_anterior')
                    END::numeric AS previous,
                    CASE
                        WHEN p_is_reported THEN v_year ->> wanted.name
                        ELSE v_compared_year ->> (wanted.name || '_anterior')
                    END::numeric AS year
            ) AS earlier
        ),
        -- There is no target for one city.
        'targets', CASE WHEN p_city_key IS NULL THEN (
            SELECT json_agg(
                json_build_object(
                    'column', target.column_name,
                    'label_es', target.label_es,
                    'label_en', kpi.label_en,
                    'unit', kpi.unit,
                    'better', target.better,
                    'target', trim_scale(target.value),
                    'value', v_now -> target.column_name,
                    'is_missed', CASE
                        WHEN v_is_incomplete THEN NULL
                        ELSE kpi_engine.misses_target(
                            (v_now ->> target.column_name)::numeric, target.value, target.better)
                    END
                )
                ORDER BY target.column_name
            )
            FROM kpi_engine.known_targets(p_view_name) AS target
            INNER JOIN kpi_engine.kpi_columns(v_view.relation) AS kpi
                ON kpi.column_name = target.column_name
            WHERE
                target.stale IS NULL
                AND p_period >= target.first_period
                AND p_period < coalesce(target.next_from, 'infinity')
        ) END
    ) INTO v_answer;
    RETURN v_answer;
END;
$digest_section$;

COMMENT ON FUNCTION kpi_engine.digest_section(text, text[], date, text, boolean) IS
'Figures of a KPI view in a period, for a digest: p_column_names, of the city p_city_key or of the '
'country (NULL), as reported (p_is_reported) or as the view shows them now. Internal to '
'kpi_engine.digest_contents().';

REVOKE ALL ON FUNCTION kpi_engine.digest_section(text, text[], date, text, boolean) FROM public;
