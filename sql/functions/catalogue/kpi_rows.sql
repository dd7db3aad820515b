-- Returns the rows of a KPI view for a request.
--
-- Invariant: the parameters follow from the key and the COMMENTs of the view. Names come from the
-- catalog and are quoted. Values are parameters of the statement. So no text of a request is in the
-- statement.
-- It raises the errors of the HTTP API, and sets the headers of freshness
-- (kpi_engine.begin_reading).

CREATE OR REPLACE FUNCTION kpi_engine.kpi_rows(
    p_view_name text, p_parts text[], p_reader text DEFAULT kpi_engine.api_caller()
)
RETURNS json
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_rows$
DECLARE
    v_view record;
    v_given jsonb;
    v_others jsonb;
    v_dimensions text[] := ARRAY[]::text[];
    v_column record;
    v_value text;
    v_from date;
    v_to date;
    v_conditions text[] := ARRAY[]::text[];
    v_values text[] := ARRAY[]::text[];
    v_cities constant text[] := kpi_engine.token_cities();
    v_sorted_by text;
    v_order text;
    v_limit integer;
    v_offset integer;
    v_fill boolean;
    v_compare text;
    v_last_day date;
    v_at timestamptz;
    v_is_reported boolean;
    v_publication kpi_engine.publications;
    v_confirmed_at timestamptz;
    v_origen constant text := kpi_engine.named_parameters(coalesce(p_parts, '{}')) ->> 'origen';
    v_of_time text;
    v_query text;
    v_answer json;
BEGIN
    SELECT * INTO v_view FROM kpi_engine.kpi_views(coalesce(p_view_name, ''));
    IF NOT FOUND THEN
        PERFORM kpi_engine.raise_http_error(
            404, 'there is no KPI view of this name', NULL,
            'GET /materialized-views/kpis lists them.');
    ELSIF NOT has_table_privilege(p_reader, v_view.relation, 'SELECT') THEN
        PERFORM kpi_engine.raise_http_error(
            403, format('permission denied for view %s', v_view.view_name));
    END IF;

    v_given := kpi_engine.named_parameters(coalesce(p_parts, '{}'));

    -- The time.
    v_fill := coalesce(
        kpi_engine.choice_parameter('fill', v_given ->> 'fill', 'true', 'false') = 'true', false);
    v_compare := kpi_engine.choice_parameter(
        'compare', v_given ->> 'compare', 'previous', 'year');
    IF v_view.time_column IS NULL THEN
        IF v_given ?| ARRAY['from', 'to', 'compare'] OR v_fill THEN
            PERFORM kpi_engine.raise_http_error(
                400,
                format(
                    'view %s has no time: from, to, fill and compare are not for it',
                    v_view.view_name
                ));
        END IF;
    ELSIF v_view.grain = 'month' THEN
        v_from := kpi_engine.month_parameter('from', v_given ->> 'from');
        v_to := kpi_engine.month_parameter('to', v_given ->> 'to');
    ELSE
        v_from := kpi_engine.day_parameter('from', v_given ->> 'from');
        v_to := kpi_engine.day_parameter('to', v_given ->> 'to');
    END IF;
    IF v_from > v_to THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'from', v_given ->> 'from',
            format('a %s that is not after to (%s)', v_view.grain, v_given ->> 'to'));
    END IF;
    IF v_from IS NOT NULL THEN
        -- A day also means the week that contains it.
        v_from := date_trunc(v_view.grain, v_from::timestamp)::date;
        v_conditions := v_conditions || format('kpi.%I >= $1', v_view.time_column);
    END IF;
    IF v_to IS NOT NULL THEN
        v_conditions := v_conditions || format('kpi.%I <= $2', v_view.time_column);
    END IF;

    -- The dimensions: all parameters except those of all KPIs.
    v_others := v_given - kpi_engine.kpi_parameters();
    IF v_others <> '{}' THEN
        FOR v_column IN
            SELECT * FROM kpi_engine.kpi_columns(v_view.relation) AS kpi WHERE kpi.is_dimension
        LOOP
            v_dimensions := v_dimensions || v_column.column_name;
            CONTINUE WHEN NOT v_others ? v_column.column_name;
            v_value := v_others ->> v_column.column_name;
            v_others := v_others - v_column.column_name;
            IF v_column.city_key IS NOT NULL THEN
                PERFORM kpi_engine.visible_cities(analytics.city_key(v_value));
            END IF;
            v_values := v_values || CASE
                WHEN v_column.city_key IS NOT NULL THEN analytics.city_key(v_value)
                ELSE kpi_engine.typed_parameter(
                    v_column.column_name, v_value, v_column.column_type)
            END;
            v_conditions := v_conditions || format(
                '%s = $3[%s]::%s',
                coalesce(v_column.city_key, format('kpi.%I', v_column.column_name)),
                cardinality(v_values), v_column.column_type);
        END LOOP;
        PERFORM kpi_engine.raise_unknown_parameter(
            other.name, v_dimensions || ARRAY(
                SELECT known.name
                FROM unnest(kpi_engine.kpi_parameters()) AS known (name)
                WHERE
                    (v_view.time_column IS NOT NULL OR known.name NOT IN (
                        'from', 'to', 'fill', 'compare', 'reported'
                    ))
                    AND (known.name <> 'origen' OR EXISTS (SELECT FROM analytics.origins()))
            ))
        FROM jsonb_object_keys(v_others) AS other (name);
    END IF;

    -- The cities that the token is for.
    IF v_cities IS NOT NULL THEN
        v_others := (
            SELECT jsonb_agg(format('%s = ANY ($9)', kpi.city_key))
            FROM kpi_engine.kpi_columns(v_view.relation) AS kpi
            WHERE kpi.city_key IS NOT NULL
        );
        IF v_others IS NULL THEN
            PERFORM kpi_engine.raise_scope_error(
                format('view %s has no city', v_view.view_name));
        END IF;
        v_conditions := v_conditions || ARRAY(SELECT jsonb_array_elements_text(v_others));
    END IF;

    -- The order, the limit and the offset.
    v_sorted_by := regexp_replace(v_given ->> 'order', '^-', '');
    IF v_sorted_by IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = v_view.relation
            AND pg_attribute.attname = v_sorted_by
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
    ) THEN
        PERFORM kpi_engine.raise_bad_parameter(
            'order', v_given ->> 'order',
            'a column, or -column, of ' || string_agg(kpi.column_name, ', '))
        FROM kpi_engine.kpi_columns(v_view.relation) AS kpi;
    END IF;
    v_order := CASE
        WHEN v_sorted_by IS NULL THEN 'kpi.' || quote_ident(v_view.time_column) || ' DESC'
        WHEN v_given ->> 'order' LIKE '-%' THEN format('kpi.%I DESC NULLS LAST', v_sorted_by)
        ELSE format('kpi.%I', v_sorted_by)
    END;
    SELECT
        concat_ws(
            ', ', v_order, string_agg(format('kpi.%I', key.name), ', ' ORDER BY key.position)
        )
    INTO v_order
    FROM unnest(v_view.key_columns) WITH ORDINALITY AS key (name, position)
    WHERE key.name IS DISTINCT FROM coalesce(v_sorted_by, v_view.time_column);
    v_limit := kpi_engine.integer_parameter(
        'limit', v_given ->> 'limit', 1, 1000, kpi_engine.kpi_default_limit(v_view.grain));
    v_offset := kpi_engine.integer_parameter('offset', v_given ->> 'offset', 0, 100000, 0);

    -- Now, at a moment of the past, or with the figures of closed periods as reported.
    IF v_given ? 'as_of' THEN
        v_at := kpi_engine.reading_instant(v_given ->> 'as_of');
        IF v_at IS NULL THEN
            PERFORM kpi_engine.raise_bad_parameter(
                'as_of', v_given ->> 'as_of',
                'a day as YYYY-MM-DD or an instant such as 2026-01-31T10:00-05:00, not in the future');
        END IF;
        v_publication := kpi_engine.publication_at(v_view.view_name, v_at);
        IF v_publication.run_id IS NULL THEN
            PERFORM kpi_engine.raise_bad_parameter(
                'as_of', v_given ->> 'as_of',
                'within the history of the view. ' || kpi_engine.history_around(v_view.view_name, v_at));
        END IF;
        v_confirmed_at := kpi_engine.last_confirmed(v_publication);
    END IF;
    v_is_reported := coalesce(
        kpi_engine.choice_parameter('reported', v_given ->> 'reported', 'true', 'false') = 'true',
        false);
    IF v_is_reported AND v_at IS NOT NULL THEN
        PERFORM kpi_engine.raise_http_error(
            400, 'parameters as_of and reported exclude each other',
            'as_of shows a moment of the past, reported the figures at closing.');
    ELSIF v_compare IS NOT NULL AND (v_is_reported OR v_at IS NOT NULL) THEN
        PERFORM kpi_engine.raise_http_error(
            400, 'parameter compare excludes as_of and reported',
            'It compares the figures of now. Ask for as_of or reported without it.');
    ELSIF v_is_reported AND v_view.time_column IS NULL THEN
        PERFORM kpi_engine.raise_http_error(
            400, format('view %s has no time: reported is not for it', v_view.view_name));
    ELSIF v_is_reported AND NOT kpi_engine.has_history(v_view.view_name) THEN
        PERFORM kpi_engine.raise_http_error(
            400, format('view %s has no history: reported is not for it', v_view.view_name),
            kpi_engine.history_around(v_view.view_name, NULL));
    END IF;

    -- One origin of several.
    IF v_origen IS NOT NULL THEN
        IF kpi_engine.unknown_origin(v_origen) IS NOT NULL THEN
            PERFORM kpi_engine.raise_http_error(
                400, format('there is no origin %s', v_origen), kpi_engine.unknown_origin(v_origen));
        ELSIF v_compare IS NOT NULL OR v_is_reported OR v_at IS NOT NULL THEN
            PERFORM kpi_engine.raise_http_error(
                400, 'parameter origen excludes compare, as_of and reported',
                'What is compared, and the history, have the figures of all origins together.');
        ELSIF kpi_engine.facts_are_ahead(v_view.view_name) THEN
            PERFORM kpi_engine.raise_http_error(
                503, format('view %s was not published with the facts and rules of now',
                    v_view.view_name),
                'The gate holds it, its refresh failed, or an upgrade changed its rules. So its rows '
                'of one origin would not fit what it shows.',
                'GET /materialized-views/health says which. Without origen it answers as before.');
        END IF;
    END IF;

    IF v_at IS NOT NULL OR v_is_reported THEN
        v_of_time := (
            SELECT given.name
            FROM unnest(ARRAY['from', 'to', 'fill']) AS given (name)
            WHERE v_given ? given.name
            LIMIT 1
        );
        PERFORM kpi_engine.raise_bad_parameter(
            asked.name, v_given ->> asked.name,
            format(
                'left out: the view did not have column %s then, or had other values in it',
                lacking.name
            ))
        FROM kpi_engine.column_without_history(
            v_view.view_name,
            ARRAY(
                SELECT unnest(CASE kpi.city_key
                    WHEN quote_ident(kpi.column_name || '_key')
                        THEN ARRAY[kpi.column_name, kpi.column_name || '_key']
                    ELSE ARRAY[kpi.column_name]
                END)
                FROM kpi_engine.kpi_columns(v_view.relation) AS kpi
                WHERE
                    kpi.is_dimension AND v_given ? kpi.column_name
                    OR v_cities IS NOT NULL AND kpi.city_key IS NOT NULL
                    OR kpi.column_name = v_view.time_column AND v_of_time IS NOT NULL
                    -- Rows without it belong to no group.
                    OR kpi.column_name = ANY (v_view.key_columns) AND v_fill
            ),
            v_publication.run_id, v_from, v_to
        ) AS lacking (name)
        CROSS JOIN LATERAL (
            SELECT CASE
                WHEN lacking.name = v_view.time_column THEN v_of_time
                WHEN v_fill AND NOT v_given ? lacking.name THEN 'fill'
                WHEN v_given ? lacking.name THEN lacking.name
                ELSE regexp_replace(lacking.name, '_key$', '')
            END
        ) AS asked (name)
        WHERE lacking.name IS NOT NULL;
    END IF;

    -- By name: make migrate may put a new view in its place at any moment.
    v_query := format('SELECT kpi.* FROM %I.%I AS kpi', 'analytics', v_view.view_name);
    IF v_at IS NOT NULL OR v_is_reported THEN
        v_query := format(
            'SELECT kpi.* FROM kpi_engine.%1$s AS past (object)
             CROSS JOIN LATERAL jsonb_populate_record(
                 NULL::analytics.%2$I,
                 kpi_engine.fitting_values(NULL::analytics.%2$I, past.object)
             ) AS kpi',
            CASE
                WHEN v_is_reported THEN 'rows_at_closing($7)'
                ELSE 'rows_as_reported($7, $8)'
            END,
            v_view.view_name);
    END IF;
    IF v_origen IS NOT NULL THEN
        v_query := format(
            'SELECT kpi.* FROM kpi_engine.rows_of_facts(%1$L, $10) AS part (object)
             CROSS JOIN LATERAL jsonb_populate_record(NULL::%1$s, part.object) AS kpi',
            format('analytics.%I', v_view.view_name));
    END IF;
    IF cardinality(v_conditions) > 0 THEN
        v_query := v_query || ' WHERE ' || array_to_string(v_conditions, ' AND ');
    END IF;
    IF v_fill OR v_compare IS NOT NULL THEN
        -- In the zone of the rows: a changed setting shows in the next refresh of the view.
        SELECT (
            coalesce(least(v_confirmed_at, v_at), view_state.last_success_at)
            AT TIME ZONE coalesce(
                CASE WHEN v_at IS NULL THEN view_state.time_zone ELSE v_publication.time_zone END,
                engine_state.time_zone, analytics.setting('time_zone'))
        )::date
        INTO v_last_day
        FROM kpi_engine.view_state
        CROSS JOIN kpi_engine.engine_state
        WHERE view_state.view_name = v_view.view_name;
    END IF;
    IF v_fill THEN
        v_query := format('SELECT kpi.* FROM (%s) AS kpi', kpi_engine.kpi_filled_query(
            v_view.relation, v_view.key_columns, v_view.time_column, v_view.grain, v_query,
            v_from IS NOT NULL));
    END IF;
    v_query := CASE
        WHEN NOT v_given ?| ARRAY['order', 'limit', 'offset'] AND cardinality(v_view.key_columns) > 1
            AND v_view.time_column IS NOT NULL
            THEN kpi_engine.kpi_newest_query(v_query, v_view.time_column, v_order)
        ELSE format('%s ORDER BY %s LIMIT $4 OFFSET $5', v_query, v_order)
    END;
    PERFORM kpi_engine.begin_reading(v_view.view_name, concat(
        '-' || v_last_day,
        CASE WHEN v_is_reported THEN '-reported' END,
        '-' || md5(v_origen),
        -- What is computed from the facts may be newer than the view.
        CASE WHEN v_compare IS NOT NULL OR v_origen IS NOT NULL THEN (
            SELECT '-' || engine_state.data_version FROM kpi_engine.engine_state
        ) END
    ), v_origen);
    IF v_at IS NOT NULL THEN
        -- Where a later refresh confirmed it, it was not stale. The instant of that refresh is not
        -- shown: nobody could know it then.
        PERFORM kpi_engine.set_reading_headers(
            -- A restored database may give a run the number of another one.
            format('%s-as-of-%s-%s-%s-%s%s', v_publication.data_version, v_publication.run_id,
                (extract(EPOCH FROM v_publication.published_at) * 1000000)::bigint,
                (extract(EPOCH FROM known.refreshed_at) * 1000000)::bigint, known.is_stale::integer,
                coalesce('-' || v_last_day, '')),
            v_publication.data_version,
            coalesce(v_publication.calculated_at, v_publication.published_at),
            known.refreshed_at, known.is_stale,
            CASE
                WHEN v_at < analytics.now() THEN v_publication.outside_as_of
                ELSE kpi_engine.outside_as_of(v_view.view_name)
            END,
            false, v_at, p_view_name => v_view.view_name)
        FROM (
            SELECT
                CASE
                    WHEN v_confirmed_at <= v_at THEN v_confirmed_at ELSE v_publication.published_at
                END AS refreshed_at,
                kpi_engine.is_stale(v_confirmed_at, v_at) AS is_stale
        ) AS known;
    END IF;
    IF v_compare IS NOT NULL THEN
        PERFORM kpi_engine.set_answer_columns(
            v_view.relation, kpi_engine.kpi_compared_columns(v_view.relation));
        v_query := format('%s ORDER BY %s', kpi_engine.kpi_compared_query(
            v_view.view_name, v_view.relation, v_view.key_columns, v_view.time_column, v_view.grain,
            v_compare, v_query), v_order);
    END IF;
    EXECUTE format('SELECT json_agg(kpi) FROM (%s) AS kpi', v_query) INTO v_answer USING
        v_from, v_to, v_values, v_limit, v_offset, v_last_day,
        v_view.view_name, v_publication.run_id, v_cities, v_origen;
    RETURN coalesce(v_answer, '[]');
END;
$kpi_rows$;

COMMENT ON FUNCTION kpi_engine.kpi_rows(text, text[], text) IS
'The rows of a KPI view as a JSON array, by the parameters name=value of a request. p_reader: '
'the role that must have the right to read it. Errors: status 404 for another name, 403 without '
'that right or for a city that the token is not for, 400 for a wrong parameter, 503 before the '
'first refresh.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_rows(text, text[], text) FROM public;
