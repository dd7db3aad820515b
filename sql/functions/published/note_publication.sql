-- Notes what a view shows now: the publish, and the rows that it changed.
--
-- Invariant: afterwards the last version of each row in the history is the row of the view, and the
-- history has no other row (kpi_engine.note_rows).

CREATE OR REPLACE FUNCTION kpi_engine.note_publication(
    p_view_name text, p_run_id bigint, p_requests bigint, p_counted_until timestamptz
)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $note_publication$
DECLARE
    v_now constant timestamptz := analytics.now();
    v_relation constant regclass := format('analytics.%I', p_view_name)::regclass;
    v_key text[] := kpi_engine.key_columns(v_relation);
    -- The key of the last publish; NULL before versions that noted it.
    v_known_key text[];
    v_has_known_key boolean := true;
    v_view record;
    -- Where in the key its time is, from 0; NULL without a time.
    v_place integer;
    v_keeps_rows constant boolean := kpi_engine.history_days(p_view_name) IS DISTINCT FROM 0;
    v_shown bigint;
    v_changed bigint;
    v_first_period date;
    v_nulls jsonb;
    v_wrong_period date;
    v_counted_until timestamptz;
    -- Whether the last publish had the time by the same name.
    v_had_time boolean := true;
BEGIN
    UPDATE kpi_engine.view_state SET noted_relation = v_relation::oid
    WHERE view_state.view_name = p_view_name;
    -- Without a key, a row has no history.
    IF v_key IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM kpi_engine.heal_publications(p_view_name);
    SELECT * INTO v_view FROM kpi_engine.kpi_views(p_view_name);
    -- After a restore without the rows of the history, or without the names of their columns.
    IF v_keeps_rows
        AND EXISTS (
            SELECT FROM kpi_engine.publications
            WHERE publications.view_name = p_view_name AND publications.rows_shown > 0
        )
        AND (
            NOT EXISTS (
                SELECT FROM kpi_engine.published_rows WHERE published_rows.view_name = p_view_name
            )
            OR NOT EXISTS (
                SELECT FROM kpi_engine.published_layouts
                WHERE published_layouts.view_name = p_view_name
            )
        ) THEN
        PERFORM kpi_engine.forget_history(p_view_name, false);
    END IF;
    IF v_keeps_rows THEN
        v_known_key := (
            SELECT layout.key_columns
            FROM kpi_engine.published_layouts AS layout
            WHERE layout.view_name = p_view_name
            ORDER BY layout.run_id DESC
            LIMIT 1
        );
        IF v_known_key @> v_key AND v_known_key <@ v_key THEN
            -- In another order it is the same key.
            v_key := v_known_key;
        ELSIF v_known_key IS NOT NULL THEN
            -- Each row goes, and comes back by its new key, also if its values are the same.
            v_has_known_key := false;
            UPDATE kpi_engine.published_hashes SET
                row_hashes = array_fill(0::bigint, ARRAY[cardinality(published_hashes.row_hashes)])
            WHERE
                published_hashes.view_name = p_view_name
                AND cardinality(published_hashes.row_hashes) > 0;
        END IF;
        -- Rows were not kept until now: the history begins.
        DELETE FROM kpi_engine.publications
        WHERE publications.view_name = p_view_name AND NOT publications.keeps_rows;
        IF v_view.time_column IS NOT NULL THEN
            v_had_time := coalesce(
                (
                    SELECT v_view.time_column = ANY (layout.column_names)
                    FROM kpi_engine.published_layouts AS layout
                    WHERE layout.view_name = p_view_name
                    ORDER BY layout.run_id DESC
                    LIMIT 1
                ),
                true
            );
            v_counted_until := coalesce(
                p_counted_until,
                (
                    SELECT least(view_state.last_success_at, view_state.counted_until)
                    FROM kpi_engine.view_state
                    WHERE
                        view_state.view_name = p_view_name
                        AND view_state.last_success_at IS NOT NULL
                ),
                '-infinity'
            );
            PERFORM kpi_engine.note_closings(
                p_view_name, p_run_id, v_view.time_column, v_view.grain, v_counted_until,
                v_had_time);
        END IF;
    ELSE
        PERFORM kpi_engine.forget_history(p_view_name, true);
    END IF;
    v_place := array_position(v_key, v_view.time_column) - 1;

    SELECT noted.* INTO v_shown, v_changed, v_first_period, v_nulls
    FROM kpi_engine.note_rows(
        v_relation, p_view_name, p_run_id, v_key, v_place, v_keeps_rows
    ) AS noted;

    -- Rows that the history, the catalogue and readers by period could not tell apart or find.
    IF v_nulls ?| v_key THEN
        RAISE EXCEPTION 'view % has rows without %', p_view_name, (
            SELECT string_agg(key.name, ', ') FROM unnest(v_key) AS key (name) WHERE v_nulls ? key.name
        )
            USING ERRCODE = 'not_null_violation',
                  DETAIL = 'It is part of the key; the view keeps its old contents.',
                  HINT = 'Leave such rows out in the definition of the view, or give them a value.';
    END IF;
    IF v_changed > 0 AND v_view.time_column IS NOT NULL THEN
        EXECUTE format(
            'SELECT kpi.%1$I FROM analytics.%2$I AS kpi TABLESAMPLE SYSTEM (100) '
            'WHERE CASE WHEN isfinite(kpi.%1$I) '
            'THEN kpi.%1$I <> date_trunc(%3$L, kpi.%1$I::timestamp)::date ELSE true END LIMIT 1',
            v_view.time_column, p_view_name, v_view.grain
        ) INTO v_wrong_period;
        IF v_wrong_period IS NOT NULL THEN
            RAISE EXCEPTION 'view % has a row whose % is %, which is not the first day of a %',
                p_view_name, v_view.time_column, v_wrong_period, v_view.grain
                USING ERRCODE = 'check_violation',
                      DETAIL = 'The view keeps its old contents.',
                      HINT = format(
                          'Leave rows without a date out by WHERE isfinite(…); '
                          'date_trunc(%L, …::timestamp)::date gives the first day.', v_view.grain);
        END IF;
    END IF;

    -- Until the last refresh it showed what the publish before left, and what that one confirmed.
    UPDATE kpi_engine.publications AS before SET confirmed_at = view_state.last_success_at
    FROM kpi_engine.view_state
    WHERE
        before.view_name = p_view_name
        AND before.run_id IN (
            (
                SELECT max(latest.run_id)
                FROM kpi_engine.publications AS latest
                WHERE latest.view_name = p_view_name
            ),
            (
                SELECT max(changing.run_id)
                FROM kpi_engine.publications AS changing
                WHERE changing.view_name = p_view_name AND changing.rows_changed > 0
            )
        )
        AND before.shown_until IS NULL
        AND view_state.view_name = p_view_name
        AND view_state.last_success_at > before.published_at;
    INSERT INTO kpi_engine.publications (
        view_name, run_id, data_version, published_at, calculated_at, rows_shown, rows_changed,
        null_counts, keeps_rows, requests_known, outside_as_of, time_zone
    )
    SELECT
        p_view_name,
        p_run_id,
        engine_state.data_version,
        v_now,
        CASE WHEN EXISTS (
            SELECT FROM pg_attribute
            WHERE
                pg_attribute.attrelid = v_relation
                AND pg_attribute.attname = 'calculado_at'
                AND NOT pg_attribute.attisdropped
        ) THEN view_state.calculated_at END,
        v_shown,
        v_changed,
        v_nulls,
        v_keeps_rows,
        (SELECT coalesce(sum(month_totals.requests), 0) FROM kpi_engine.month_totals),
        kpi_engine.outside_as_of(p_view_name),
        coalesce(engine_state.time_zone, analytics.setting('time_zone'))
    FROM kpi_engine.engine_state
    LEFT JOIN kpi_engine.view_state ON view_state.view_name = p_view_name;
    IF v_changed > 0 AND v_place IS NOT NULL AND v_had_time AND v_has_known_key THEN
        PERFORM kpi_engine.note_restatements(
            p_view_name, p_run_id, p_requests, v_key, v_view.grain, v_first_period,
            v_counted_until);
    END IF;
    RETURN v_changed;
END;
$note_publication$;

COMMENT ON FUNCTION kpi_engine.note_publication(text, bigint, bigint, timestamptz) IS
'Notes what a materialized view shows: one row of kpi_engine.publications, and a row of '
'kpi_engine.published_rows for each row that is another one than at the last publish. Then what '
'changed in closed periods. Returns the number of changed rows. p_requests: changed requests '
'that the run applied, or NULL. p_counted_until: the view has all rows until then; NULL: it shows '
'the source as the last refresh saw it. '
'Internal to kpi_engine.run_refresh() and make migrate: the caller '
'holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.note_publication(text, bigint, bigint, timestamptz) FROM public;
