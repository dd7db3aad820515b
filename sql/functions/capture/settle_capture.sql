-- Notes the changes of partitions that came or went.
--
-- Invariant: when this returns true, the change log holds each key that a partition brought, took
-- along, or changed while it had no triggers or was no partition. engine_state.capture_signature is
-- then the present state of the catalog. If a trigger may have missed something, this returns false
-- and does nothing: everything has to be computed again.
-- A partition with rows and without triggers is noted as a whole, each time. Rows that left it
-- directly are found as vanished keys, also if it is empty now (TRUNCATE). Its rows are in the
-- tables below it, which may have triggers.

CREATE OR REPLACE FUNCTION kpi_engine.settle_capture()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $settle_capture$
DECLARE
    v_known jsonb;
    v_now jsonb;
    v_had_rows oid[];
    v_have_rows oid[];
    v_come oid[];
    v_gone_views text[];
    v_part record;
BEGIN
    SELECT engine_state.capture_signature, engine_state.parts_with_rows
    INTO STRICT v_known, v_had_rows
    FROM kpi_engine.engine_state;
    v_now := kpi_engine.capture_signature();
    IF v_known = v_now AND NOT v_now @? '$.*[2] ? (@ == null)' THEN
        RETURN true;
    END IF;
    IF kpi_engine.misses_changes(v_known, v_now) THEN
        RETURN false;
    END IF;

    PERFORM kpi_engine.hold_source();
    WITH RECURSIVE come AS (
        SELECT fresh.key::oid AS relation
        FROM jsonb_each(v_now) AS fresh
        WHERE
            fresh.value - 3 <> coalesce((v_known -> fresh.key) - 3, 'null')
            OR fresh.value -> 3 <> v_known -> fresh.key -> 3
            OR fresh.value ->> 2 IS NULL
        UNION
        SELECT pg_inherits.inhrelid
        FROM come
        INNER JOIN pg_inherits ON pg_inherits.inhparent = come.relation
    )

    SELECT array_agg(come.relation) INTO v_come FROM come;
    SELECT array_agg(DISTINCT lost.view_name) INTO v_gone_views
    FROM (
        SELECT known.value ->> 0 AS view_name
        FROM jsonb_each(v_known) AS known
        WHERE known.value ->> 1 = 'part' AND NOT v_now ? known.key
        UNION ALL
        -- Without triggers of its own, or away for a while: rows may have left it directly.
        SELECT fresh.value ->> 0
        FROM jsonb_each(v_now) AS fresh
        WHERE
            fresh.value ->> 1 = 'part'
            AND (
                coalesce(fresh.key::oid = ANY (v_had_rows), v_known -> fresh.key ->> 2 IS NULL)
                OR fresh.value -> 3 <> v_known -> fresh.key -> 3
            )
    ) AS lost;
    -- Before they are read: rows that come later are noted the next time.
    v_have_rows := kpi_engine.parts_with_rows(v_now);

    FOR v_part IN
        SELECT
            captured.relation,
            captured.entity,
            -- NULL for note_truncate.
            substring(captured.function_name FROM '^note_changed_(.*)$') AS key_column,
            root.relation AS root
        FROM kpi_engine.captured_tables() AS captured
        INNER JOIN kpi_engine.captured_tables() AS root
            ON root.view_name = captured.view_name AND root.place = 'table'
        WHERE
            captured.relation = ANY (v_come)
            AND captured.place = 'part'
            AND captured.relation_kind = 'r'
            AND pg_relation_size(captured.relation) > 0
    LOOP
        IF v_part.key_column IS NULL OR NOT has_column_privilege(v_part.root, 'tableoid', 'SELECT')
        THEN
            -- It has rows of several kinds, or we have rights on some columns alone.
            INSERT INTO kpi_engine.change_log (entity) VALUES ('everything');
            CONTINUE;
        END IF;
        -- It reads through the parent table. We may have no right on the partition itself.
        EXECUTE format(
            'INSERT INTO kpi_engine.change_log (entity, key)
             SELECT $1, source.%1$I FROM %2$s AS source
             WHERE source.tableoid = $2 AND source.%1$I IS NOT NULL',
            v_part.key_column, v_part.root::regclass
        ) USING v_part.entity, v_part.relation;
    END LOOP;
    IF v_gone_views IS NOT NULL AND EXISTS (
        SELECT FROM kpi_engine.engine_state WHERE engine_state.time_zone IS NOT NULL
    ) THEN
        INSERT INTO kpi_engine.change_log (entity, key)
        SELECT vanished.entity, vanished.key
        FROM unnest(v_gone_views) AS gone (view_name)
        CROSS JOIN LATERAL kpi_engine.vanished_keys(gone.view_name) AS vanished;
    END IF;
    UPDATE kpi_engine.engine_state SET capture_signature = v_now, parts_with_rows = v_have_rows
    WHERE
        engine_state.capture_signature <> v_now
        OR engine_state.parts_with_rows IS DISTINCT FROM v_have_rows;
    -- What is gone was subtracted from the active sets alone. The set that a rebuild fills may have
    -- it: with the signature of its plan, this is done again when it is active.
    UPDATE kpi_engine.rebuild_batches SET capture_signature = v_now
    WHERE rebuild_batches.capture_signature = v_known AND v_gone_views IS NULL;
    RETURN true;
END;
$settle_capture$;

COMMENT ON FUNCTION kpi_engine.settle_capture() IS
'Notes in kpi_engine.change_log what partitions that were created, attached, detached or dropped '
'have changed; true where nothing else can have been missed since the last time. Internal to the '
'refresh and the tick.';

REVOKE ALL ON FUNCTION kpi_engine.settle_capture() FROM public;
