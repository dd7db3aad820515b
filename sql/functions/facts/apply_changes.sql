-- Brings all derived tables up to date: by what changed, or by everything.
--
-- Invariant: when this commits, the derived tables are what the source gave at some moment
-- not before this call, and every change that was not seen still waits in the log. Whatever is
-- recomputed twice comes out the same.

CREATE OR REPLACE FUNCTION kpi_engine.apply_changes(
    p_force boolean, OUT mode text, OUT reason text, OUT requests bigint
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $apply_changes$
DECLARE
    v_today constant date := analytics.today();
    v_solicitud_ids uuid[];
    v_asesor_ids uuid[];
    v_usuario_ids uuid[];
    v_historica_ids uuid[];
    v_notificacion_ids uuid[];
    v_auditoria_ids uuid[];
    v_everything uuid[];
    v_taken record;
    v_keys bigint := 0;
    v_changed_tables text[];
    v_scans jsonb;
BEGIN
    PERFORM kpi_engine.settle();
    PERFORM kpi_engine.hold_time_zone(NULL);
    FOR v_taken IN SELECT * FROM kpi_engine.take_changes() LOOP
        v_keys := v_keys + cardinality(v_taken.keys);
        CASE v_taken.entity
            WHEN 'solicitud' THEN v_solicitud_ids := v_taken.keys;
            WHEN 'asesor' THEN v_asesor_ids := v_taken.keys;
            WHEN 'usuario' THEN v_usuario_ids := v_taken.keys;
            WHEN 'historica' THEN v_historica_ids := v_taken.keys;
            WHEN 'notificacion' THEN v_notificacion_ids := v_taken.keys;
            WHEN 'auditoria' THEN v_auditoria_ids := v_taken.keys;
            ELSE v_everything := v_taken.keys;
        END CASE;
    END LOOP;
    requests := coalesce(cardinality(v_solicitud_ids), 0);

    reason := CASE
        WHEN p_force THEN 'it was forced'
        ELSE coalesce(
            kpi_engine.everything_reason(v_everything),
            kpi_engine.rebuild_reason(requests)
        )
    END;
    IF reason IS NOT NULL THEN
        mode := 'full';
        v_changed_tables := kpi_engine.rebuild_in_transaction(v_today);
        SELECT coalesce(sum(month_totals.requests), 0) INTO requests FROM kpi_engine.month_totals;
        IF requests <= 100000 THEN
            PERFORM kpi_engine.note_uncountable_rows(true);
        END IF;
    ELSIF v_keys = 0 AND v_today = (SELECT engine_state.today FROM kpi_engine.engine_state) THEN
        mode := 'unchanged';
        reason := 'nothing changed';
        RETURN;
    ELSE
        mode := 'incremental';
        v_scans := kpi_engine.source_scans();
        reason := CASE
            WHEN v_keys = 0 THEN 'the windows move to another local day'
            ELSE format('%s changed keys', v_keys)
        END;
        v_changed_tables := kpi_engine.apply_asesor_changes(
            v_today, v_asesor_ids, v_usuario_ids, v_historica_ids, v_notificacion_ids,
            v_auditoria_ids
        );
        IF kpi_engine.apply_solicitud_changes(v_solicitud_ids) > 0 THEN
            v_changed_tables := v_changed_tables || ARRAY(
                SELECT derived_tables.table_name
                FROM kpi_engine.derived_tables
                WHERE
                    derived_tables.table_name = 'solicitud_facts'
                    OR derived_tables.table_name LIKE 'month\_%'
            );
        END IF;
        IF v_keys <= 1000 THEN
            PERFORM kpi_engine.note_uncountable_rows(
                false, v_solicitud_ids, v_asesor_ids, v_usuario_ids, v_historica_ids,
                v_notificacion_ids, v_auditoria_ids
            );
        END IF;
        -- Source tables that were read as a whole though little changed: an index would help.
        INSERT INTO kpi_engine.own_scans (relation, scans)
        SELECT seen.relation::oid, own.scans
        FROM jsonb_each_text(kpi_engine.source_scans()) AS seen (relation, scans)
        CROSS JOIN LATERAL (
            SELECT seen.scans::bigint - coalesce((v_scans ->> seen.relation)::bigint, 0) AS scans
        ) AS own
        WHERE
            own.scans > 0
            AND 20 * requests <= (SELECT sum(month_totals.requests) FROM kpi_engine.month_totals);
    END IF;
    PERFORM kpi_engine.note_derived_change(v_changed_tables);
END;
$apply_changes$;

COMMENT ON FUNCTION kpi_engine.apply_changes(boolean) IS
'Applies what changed to the derived tables, or computes them again (p_force, or where '
'kpi_engine.rebuild_reason() says so): mode full, incremental or unchanged, the reason, and the '
'requests that were recomputed. Internal: the caller holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.apply_changes(boolean) FROM public;
