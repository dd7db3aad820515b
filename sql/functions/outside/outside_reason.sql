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
    v_problem record;
    v_source record;
    v_version text;
    v_as_of timestamptz;
    v_reasons text[] := ARRAY[]::text[];
    v_message text;
    v_detail text;
    v_context text;
BEGIN
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

    FOR v_source IN
        SELECT outside_sources.*, triggers.are_working, triggers.signature
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
        v_as_of := analytics.now();
        IF v_source.as_of_query IS NOT NULL THEN
            EXECUTE format('SELECT (%s)::timestamptz', v_source.as_of_query) INTO STRICT v_as_of;
        END IF;
        v_reasons := v_reasons || CASE
            WHEN v_source.read_at IS NULL THEN v_source.source_name || ' was never read'
            WHEN p_is_full THEN 'everything is computed again'
            WHEN v_source.watch = 'reread' THEN v_source.source_name || ' is read anew each time'
            WHEN v_source.watch = 'version' AND v_version IS DISTINCT FROM v_source.version
                THEN format('%s has another version', v_source.source_name)
            WHEN v_source.watch = 'triggers' AND NOT v_source.are_working
                THEN format('no trigger notes changes of %s', v_source.source_name)
            WHEN
                v_source.watch = 'triggers'
                AND v_source.signature IS DISTINCT FROM v_source.trigger_signature
                THEN format('the triggers of %s are others', v_source.source_name)
            WHEN v_source.watch = 'triggers' AND v_source.is_changed
                THEN v_source.source_name || ' changed'
        END;
        UPDATE kpi_engine.outside_sources SET
            is_changed = v_source.watch = 'triggers' AND NOT v_source.are_working,
            trigger_signature = v_source.signature,
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
