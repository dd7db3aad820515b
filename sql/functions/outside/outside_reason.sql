-- Asks the outside tables of a view whether the view has to be read anew, and says why.
--
-- Invariant: NULL only if the view still shows what its outside tables hold. Versions are asked and
-- notes are taken before the rows are read: a change in between is read now and once more later.
-- If the view fails afterwards, the caller rolls all of it back.
-- It raises TA002 if a table is another one, is away or can't be read.

CREATE OR REPLACE FUNCTION kpi_engine.outside_reason(p_view_name text, p_is_full boolean)
RETURNS text
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '10s'
SET row_security = off
SET jit = off
AS $outside_reason$
DECLARE
    v_bindings jsonb;
    v_problem record;
    v_source record;
    v_version text;
    v_as_of timestamptz;
    v_reasons text[] := ARRAY[]::text[];
    v_message text;
    v_detail text;
    v_context text;
BEGIN
    -- First: what is not the same any more when the problems are looked for is told there.
    SELECT jsonb_object_agg(
        outside_sources.source_name,
        kpi_engine.outside_binding(
            to_regclass(format('analytics.%I', outside_sources.view_name)),
            kpi_engine.outside_relation(outside_sources.source_name)
        )
    ) INTO v_bindings
    FROM kpi_engine.outside_sources
    WHERE outside_sources.view_name = p_view_name;
    SELECT problems.* INTO v_problem
    FROM kpi_engine.outside_problems(p_view_name) AS problems
    WHERE problems.is_fatal
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '%: %', v_problem.message, v_problem.remedy
            USING ERRCODE = 'TA002',
                  HINT = 'The view keeps its rows and is tried again by each refresh.';
    END IF;
    WITH taken AS (
        DELETE FROM kpi_engine.outside_changes
        WHERE outside_changes.source_relation IN (
            SELECT kpi_engine.outside_relation(asked.source_name)
            FROM kpi_engine.outside_sources AS asked
            WHERE asked.view_name = p_view_name
        )
        RETURNING outside_changes.source_relation
    )

    -- Other views may read the same table.
    UPDATE kpi_engine.outside_sources SET is_changed = true
    WHERE
        kpi_engine.outside_relation(outside_sources.source_name) IN (SELECT taken.source_relation FROM taken)
        AND NOT outside_sources.is_changed;
    -- What this transaction writes from now on is noted again.
    PERFORM set_config('analytics.outside_noted', '', true);

    FOR v_source IN
        SELECT
            outside_sources.*,
            triggers.are_working,
            triggers.signature,
            v_bindings -> outside_sources.source_name AS binding_now
        FROM kpi_engine.outside_sources
        CROSS JOIN LATERAL kpi_engine.outside_triggers(
            kpi_engine.outside_relation(outside_sources.source_name)
        ) AS triggers
        WHERE outside_sources.view_name = p_view_name
        ORDER BY outside_sources.source_name
    LOOP
        v_version := NULL;
        IF v_source.version_query IS NOT NULL THEN
            EXECUTE format('SELECT to_jsonb(version)::text FROM (%s) AS version', v_source.version_query)
            INTO STRICT v_version;
        END IF;
        -- A table that subscriptions bring is complete until where they are.
        SELECT CASE
            WHEN count(*) = 0 THEN analytics.now()
            WHEN count(*) = count(feeding.as_of) THEN least(analytics.now(), min(feeding.as_of))
            ELSE v_source.as_of
        END INTO v_as_of
        FROM kpi_engine.feeding(
            kpi_engine.outside_relation(v_source.source_name)
        ) AS feeding;
        IF v_source.as_of_query IS NOT NULL THEN
            EXECUTE format('SELECT (%s)::timestamptz', v_source.as_of_query) INTO STRICT v_as_of;
            IF NOT coalesce(isfinite(v_as_of), false) THEN
                RAISE EXCEPTION '%', format(
                    'until when table %s of view %s is complete is not known: p_as_of gives %s',
                    v_source.source_name, p_view_name, coalesce(v_as_of::text, 'NULL'))
                    USING ERRCODE = 'TA002',
                          HINT = 'The view keeps its rows and is tried again by each refresh. Look at '
                                 'the service that feeds the table.';
            END IF;
        END IF;
        v_reasons := v_reasons || CASE
            WHEN v_source.read_at IS NULL THEN v_source.source_name || ' was never read'
            WHEN p_is_full THEN 'everything is computed again'
            WHEN v_source.watch = 'reread' THEN v_source.source_name || ' is read anew each time'
            WHEN v_source.watch = 'version' AND v_version IS DISTINCT FROM v_source.version
                THEN format('%s has another version', v_source.source_name)
            -- A row without a value takes the place of another one, and nothing tells.
            WHEN
                v_source.watch = 'version'
                AND (v_version::jsonb ->> 'rows') <> (v_version::jsonb ->> 'known')
                THEN format('the version of %s is NULL in some rows', v_source.source_name)
            -- Such a sum is the same, whatever is added.
            WHEN v_source.watch = 'version' AND v_version ~* '"(-?infinity|nan)"'
                THEN format('the version of %s is infinite or no number', v_source.source_name)
            WHEN v_source.binding_now -> 'views' IS DISTINCT FROM v_source.binding -> 'views'
                THEN format('a view between it and %s is another one', v_source.source_name)
            WHEN v_source.watch = 'triggers' AND NOT v_source.are_working
                THEN format('no trigger notes changes of %s', v_source.source_name)
            WHEN
                v_source.watch <> 'reread'
                AND v_source.signature IS DISTINCT FROM v_source.trigger_signature
                THEN format(
                    CASE WHEN v_source.signature ~ 'unlogged'
                        THEN 'unlogged table %s may be empty since the server started'
                        ELSE 'the triggers of %s are others'
                    END,
                    v_source.source_name
                )
            WHEN v_source.watch = 'triggers' AND v_source.is_changed
                THEN v_source.source_name || ' changed'
        END;
        UPDATE kpi_engine.outside_sources SET
            is_changed = v_source.watch = 'triggers' AND NOT v_source.are_working,
            trigger_signature = v_source.signature,
            binding = v_source.binding || jsonb_strip_nulls(jsonb_build_object(
                'views', v_source.binding_now -> 'views', 'labels', v_source.binding_now -> 'labels'
            )),
            version = v_version,
            as_of = v_as_of,
            read_at = analytics.now()
        WHERE
            outside_sources.view_name = p_view_name
            AND outside_sources.source_name = v_source.source_name;
    END LOOP;
    RETURN nullif(array_to_string(v_reasons, '; '), '');
EXCEPTION
    WHEN SQLSTATE 'TA002' THEN
        RAISE;
    WHEN no_data_found OR too_many_rows THEN
        RAISE EXCEPTION 'a version query of view % must give one row: %', p_view_name, SQLERRM
            USING ERRCODE = 'TA002',
                  HINT = format('Mend the call at the end of %s.sql.', p_view_name);
    WHEN query_canceled OR OTHERS THEN
        GET STACKED DIAGNOSTICS
            v_message := MESSAGE_TEXT,
            v_detail := PG_EXCEPTION_DETAIL,
            v_context := PG_EXCEPTION_CONTEXT;
        PERFORM kpi_engine.raise_outside_error(
            p_view_name, SQLSTATE, v_message, v_detail, v_context);
        RETURN NULL;
END;
$outside_reason$;

COMMENT ON FUNCTION kpi_engine.outside_reason(text, boolean) IS
'Why the outside tables of a view make a refresh read it anew; NULL: they did not change. '
'p_is_full: as if all had changed. Notes the versions it saw. Errors: TA002. Internal to '
'kpi_engine.run_refresh().';

REVOKE ALL ON FUNCTION kpi_engine.outside_reason(text, boolean) FROM public;
