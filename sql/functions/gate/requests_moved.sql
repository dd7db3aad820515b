-- Counts the known requests that a rebuild found changed or gone, before its set is read.
--
-- Invariant: it never returns NULL, which would let all pass. In another time zone local days are
-- others: one that moves by more than two days counts. If the rules changed, rows differ for that
-- alone: they are compared only where capture may have missed changes, and a column that was empty
-- does not count. Known requests with a pending change count, too, wherever a column is not
-- compared. The count is then never below the one that is held: it may come from a comparison that
-- is no longer possible.

CREATE OR REPLACE FUNCTION kpi_engine.requests_moved()
RETURNS bigint
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $requests_moved$
DECLARE
    v_facts kpi_engine.derived_tables;
    v_has_same_rules boolean;
    v_has_same_zone boolean;
    v_may_miss boolean;
    v_moved bigint;
BEGIN
    SELECT derived_tables.* INTO STRICT v_facts
    FROM kpi_engine.derived_tables
    WHERE derived_tables.table_name = 'solicitud_facts';
    v_has_same_rules := v_facts.rebuilding_by = v_facts.rules_checksum;
    SELECT
        engine_state.time_zone = analytics.setting('time_zone'),
        engine_state.rebuild_reason IS NOT NULL
        OR kpi_engine.misses_changes(engine_state.capture_signature, batch.capture_signature)
        OR EXISTS (
            SELECT FROM kpi_engine.pending_changes WHERE pending_changes.entity = 'everything'
        )
    INTO STRICT v_has_same_zone, v_may_miss
    FROM kpi_engine.engine_state
    CROSS JOIN kpi_engine.rebuild_batches AS batch
    WHERE batch.batch = 1;
    IF v_has_same_rules AND v_has_same_zone THEN
        EXECUTE format(
            'SELECT count(*) FROM kpi_engine.%I AS known
             LEFT JOIN kpi_engine.%I AS fresh ON %s
             WHERE ROW(%s) IS DISTINCT FROM ROW(%s)',
            kpi_engine.set_of('solicitud_facts', false),
            kpi_engine.set_of('solicitud_facts', true),
            kpi_engine.column_list(v_facts.key_columns, 'known.%1$I = fresh.%1$I', ' AND '),
            kpi_engine.column_list(v_facts.key_columns || v_facts.value_columns, 'known.%1$I'),
            kpi_engine.column_list(v_facts.key_columns || v_facts.value_columns, 'fresh.%1$I')
        ) INTO v_moved;
        RETURN v_moved;
    END IF;
    EXECUTE format(
        'SELECT count(*) FROM kpi_engine.%I AS known
         LEFT JOIN kpi_engine.waiting_requests() AS waiting USING (solicitud_id)
         LEFT JOIN kpi_engine.%I AS fresh ON %s
         WHERE
             waiting.solicitud_id IS NOT NULL
             OR ($1 AND fresh.solicitud_id IS NULL)
             OR (
                 $2 AND (
                     fresh.local_day NOT BETWEEN known.local_day - 2 AND known.local_day + 2
                     OR %s
                 )
             )',
        kpi_engine.set_of('solicitud_facts', false),
        kpi_engine.set_of('solicitud_facts', true),
        kpi_engine.column_list(v_facts.key_columns, 'known.%1$I = fresh.%1$I', ' AND '),
        kpi_engine.column_list(
            ARRAY(
                SELECT listed.name
                FROM unnest(v_facts.value_columns) AS listed (name)
                WHERE v_has_same_zone OR listed.name NOT IN ('local_day', 'mes')
            ),
            CASE
                WHEN v_has_same_rules THEN 'known.%1$I IS DISTINCT FROM fresh.%1$I'
                ELSE 'coalesce(known.%1$I <> fresh.%1$I, known.%1$I IS NOT NULL)'
            END,
            ' OR '
        )
    ) INTO v_moved
    USING
        v_facts.rebuilding_by IS NOT NULL,
        v_facts.rebuilding_by IS NOT NULL AND (v_has_same_rules OR v_may_miss);
    RETURN greatest(v_moved, (
        SELECT max(gate_holds.after) FROM kpi_engine.gate_holds
        WHERE gate_holds.view_name = 'changes'
    ));
END;
$requests_moved$;

COMMENT ON FUNCTION kpi_engine.requests_moved() IS
'How many of the requests that are read have another row, or none, in the set that a rebuild '
'filled, or a pending change where rows of another zone or of other rules can''t be compared as a '
'whole; there no fewer than are held already. Internal to the breaker.';

REVOKE ALL ON FUNCTION kpi_engine.requests_moved() FROM public;
