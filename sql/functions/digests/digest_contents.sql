-- What a digest says, as JSON without a language.
--
-- Invariant: a digest of cities has the rows of these cities in mv_demanda_ciudades, and what they
-- lack; nothing else: no target, no note, no problem. All of it is of one snapshot. It sends and
-- changes nothing.
-- SECURITY DEFINER: the scheduler's role reads no view by itself. It may call this, and mails it.

CREATE OR REPLACE FUNCTION kpi_engine.digest_contents(
    p_frequency text, p_cities text[] DEFAULT NULL, p_period date DEFAULT NULL
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
AS $digest_contents$
DECLARE
    v_period date;
    v_last_day date;
    v_sections json[] := '{}';
    v_csv jsonb := '[]';
    -- Of one view: a section for each city.
    v_of_cities json[];
    v_shown record;
    v_city text;
    v_section json;
    v_keys text[];
BEGIN
    PERFORM kpi_engine.raise_wrong_subscription('ana@example.com', p_frequency, 'es', p_cities);
    IF p_period NOT BETWEEN '0001-01-01' AND '9999-12-31' THEN
        RAISE EXCEPTION 'p_period must be a day from 0001-01-01 to 9999-12-31'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s.', p_period),
                  HINT = 'A day of the period, or nothing for the last one that is over.';
    END IF;
    v_keys := CASE WHEN p_cities IS NULL THEN ARRAY[NULL] ELSE ARRAY(
        SELECT DISTINCT analytics.city_key(city.name) AS key
        FROM unnest(p_cities) AS city (name)
        ORDER BY key
    ) END;
    v_period := coalesce(
        date_trunc(
            CASE p_frequency WHEN 'daily' THEN 'day' WHEN 'weekly' THEN 'week' ELSE 'month' END,
            p_period::timestamp
        )::date,
        CASE p_frequency
            WHEN 'daily' THEN analytics.today() - 1
            WHEN 'weekly' THEN date_trunc('week', analytics.today()::timestamp)::date - 7
            ELSE coalesce(
                (
                    SELECT max(closings.period)
                    FROM kpi_engine.closings
                    WHERE closings.view_name = (
                        SELECT shown.view_name
                        FROM kpi_engine.digest_views(p_frequency, p_cities IS NOT NULL) AS shown
                    ) AND kpi_engine.closing_counts(closings, (SELECT analytics.now()))
                ),
                (date_trunc('month', analytics.today()::timestamp) - interval '1 month')::date
            )
        END
    );
    v_last_day := CASE p_frequency
        WHEN 'daily' THEN v_period
        WHEN 'weekly' THEN v_period + 6
        ELSE (v_period + interval '1 month')::date - 1
    END;
    IF p_period IS NOT NULL AND v_last_day >= analytics.today() THEN
        RAISE EXCEPTION 'p_period must be a day of a period that is over'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got %s; its last day is %s.', p_period, v_last_day),
                  HINT = 'A digest has the figures of whole periods.';
    END IF;
    FOR v_shown IN
        SELECT shown.*, kpi.grain, kpi.relation, kpi.time_column
        FROM kpi_engine.digest_views(p_frequency, p_cities IS NOT NULL) AS shown
        CROSS JOIN LATERAL kpi_engine.kpi_views(shown.view_name) AS kpi
        ORDER BY shown.place
    LOOP
        v_of_cities := '{}';
        FOREACH v_city IN ARRAY v_keys LOOP
            v_section := kpi_engine.digest_section(
                v_shown.view_name,
                v_shown.column_names,
                CASE v_shown.grain
                    WHEN 'month' THEN date_trunc('month', v_last_day::timestamp)::date
                    ELSE v_period
                END,
                v_city,
                p_frequency = 'monthly'
                AND kpi_engine.has_history(v_shown.view_name)
            );
            v_of_cities := v_of_cities || v_section;
        END LOOP;
        v_sections := v_sections || v_of_cities;
        v_csv := v_csv || jsonb_build_object(
            'name', v_shown.view_name,
            'text', (
                SELECT kpi_engine.csv_lines(
                    coalesce(json_agg(marked.item ORDER BY listed.place, row.place), '[]'),
                    (
                        SELECT (jsonb_agg(kpi.column_name) || '["incompleto"]')::json
                        FROM kpi_engine.kpi_columns(v_shown.relation) AS kpi
                    )
                )
                FROM unnest(v_of_cities) WITH ORDINALITY AS listed (section, place)
                CROSS JOIN LATERAL json_array_elements(listed.section -> 'rows')
                    WITH ORDINALITY AS row (item, place)
                CROSS JOIN LATERAL (
                    SELECT json_object_agg(cell.name, cell.content ORDER BY cell.place)
                    FROM (
                        SELECT shown.name, shown.content, shown.place
                        FROM json_each(row.item) WITH ORDINALITY AS shown (name, content, place)
                        UNION ALL
                        SELECT
                            'incompleto',
                            to_json(
                                (listed.section ->> 'is_incomplete')::boolean
                                AND row.item ->> v_shown.time_column = listed.section ->> 'period'
                            ),
                            2000
                    ) AS cell
                ) AS marked (item)
            )
        );
    END LOOP;
    RETURN json_build_object(
        'frequency', p_frequency,
        'period', v_period,
        'last_day', v_last_day,
        'is_of_cities', p_cities IS NOT NULL,
        'refreshed_at', (
            SELECT to_char(
                min(view_state.last_success_at) AT TIME ZONE analytics.setting('time_zone'),
                'YYYY-MM-DD HH24:MI'
            )
            FROM kpi_engine.digest_views(p_frequency, p_cities IS NOT NULL) AS shown
            INNER JOIN kpi_engine.view_state ON view_state.view_name = shown.view_name
        ),
        'partial', (
            SELECT json_agg(
                json_build_object(
                    'origen', lacking.origen,
                    'since', to_char(
                        lacking.since AT TIME ZONE analytics.setting('time_zone'),
                        'YYYY-MM-DD HH24:MI'
                    )
                )
                ORDER BY lacking.origen
            )
            FROM (
                SELECT
                    lost.origen,
                    CASE WHEN count(*) = count(lost.since) THEN min(lost.since) END AS since
                FROM kpi_engine.digest_views(p_frequency, p_cities IS NOT NULL) AS shown
                CROSS JOIN LATERAL kpi_engine.partial_views(shown.view_name, NULL) AS lost
                GROUP BY lost.origen, lost.is_site
            ) AS lacking
        ),
        'sections', array_to_json(v_sections),
        'csv', v_csv,
        'notes', CASE WHEN p_cities IS NULL THEN (
            SELECT json_agg(
                json_build_object(
                    'day', notes.day,
                    'text', notes.note,
                    'title_es', kpi.title_es,
                    'title_en', kpi.title_en
                )
                ORDER BY notes.day, notes.note_id
            )
            FROM kpi_engine.notes
            LEFT JOIN kpi_engine.kpi_views() AS kpi ON kpi.view_name = notes.view_name
            WHERE notes.day BETWEEN v_period AND v_last_day
        ) END,
        'problems', CASE WHEN p_cities IS NULL THEN (
            SELECT json_agg(
                json_build_object(
                    'problem', found.problem,
                    'in_short', kpi_engine.problem_in_short(found.problem),
                    'in_spanish', known.in_spanish
                )
                ORDER BY found.problem
            )
            FROM (
                SELECT DISTINCT health.problem FROM analytics.health_problems() AS health
            ) AS found
            LEFT JOIN kpi_engine.known_problems() AS known ON known.problem = found.problem
        ) END
    );
END;
$digest_contents$;

COMMENT ON FUNCTION kpi_engine.digest_contents(text, text[], date) IS
'What a digest of a frequency (daily, weekly, monthly) says, for the whole country or for some '
'cities; p_period: a day of its period, or NULL: the latest one. figures have the value, its '
'differences (previous, year) and its line of 13 periods, oldest first; partial names origins and '
'sites of which they lack rows, with the local time until when these are counted; csv has the '
'files. Errors: '
'22023 for a wrong parameter, PGRST before the first refresh. For scripts/notifier.py and '
'scripts/digest.py.';

REVOKE ALL ON FUNCTION kpi_engine.digest_contents(text, text[], date) FROM public;
GRANT EXECUTE ON FUNCTION kpi_engine.digest_contents(text, text[], date)
TO analytics_scheduler, analytics_operador;
