-- Audits the advisors, the rows of their windows and their sliding totals.
--
-- Invariant: a row whose change still waits is no drift. Rows are compared with the source,
-- totals with the rows, in this order, so that one pass heals everything.

CREATE OR REPLACE FUNCTION kpi_engine.audit_advisors()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $audit_advisors$
DECLARE
    v_today constant date := (SELECT engine_state.today FROM kpi_engine.engine_state);
    v_part record;
    v_cells bigint := 0;
    v_totals_columns text;
BEGIN
    PERFORM kpi_engine.note_uncountable_rows(
        false, NULL,
        ARRAY(SELECT source.id FROM kpi_engine.src_asesores AS source),
        ARRAY(SELECT source.id FROM kpi_engine.src_usuarios AS source),
        ARRAY(
            SELECT source.id FROM kpi_engine.src_ofertas_historicas AS source
            WHERE source.fecha >= analytics.today() - 29
        ),
        ARRAY(
            SELECT source.id FROM kpi_engine.src_historial_respuestas_ofertas AS source
            WHERE source.fecha_envio >= analytics.now() - interval '31 days'
        ),
        ARRAY(SELECT source.id FROM kpi_engine.src_auditorias_tiendas AS source)
    );
    FOR v_part IN
        SELECT *
        FROM (VALUES
            (
                'asesor_facts', 'true',
                kpi_engine.not_waiting_condition('asesor_id', 'asesor') || ' AND '
                || kpi_engine.not_waiting_condition('usuario_id', 'usuario')
            ),
            (
                'historica_facts', 'local_day >= $2',
                kpi_engine.not_waiting_condition('historica_id', 'historica')
            ),
            (
                'notificacion_facts', 'local_day >= $2',
                kpi_engine.not_waiting_condition('notificacion_id', 'notificacion')
            ),
            (
                'auditoria_facts', 'true',
                kpi_engine.not_waiting_condition('auditoria_id', 'auditoria')
            )
        ) AS part (table_name, condition, not_waiting)
    LOOP
        v_cells := v_cells + kpi_engine.audit_table(
            v_part.table_name,
            format(
                'SELECT * FROM kpi_engine.%I WHERE %s AND %s',
                'recomputed_' || v_part.table_name, v_part.condition, v_part.not_waiting
            ),
            v_part.not_waiting,
            NULL, NULL, v_today - 29, v_today
        );
    END LOOP;
    SELECT string_agg(quote_ident(pg_attribute.attname), ', ' ORDER BY pg_attribute.attnum)
    INTO v_totals_columns
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = 'kpi_engine.asesor_totals_a'::regclass
        AND pg_attribute.attnum BETWEEN 2 AND 14;
    RETURN v_cells + kpi_engine.audit_table(
        'asesor_totals',
        format(
            'SELECT
                 asesor_id, %s,
                 coalesce(audited.audits, 0), coalesce(audited.score_sum, 0),
                 coalesce(audited.score_count, 0), audited.latest_audit
             FROM (%s) AS summed
             FULL JOIN (
                 SELECT
                     asesor_id,
                     count(*) FILTER (WHERE local_day >= $3 - 89) AS audits,
                     coalesce(sum(score) FILTER (WHERE local_day >= $3 - 89), 0) AS score_sum,
                     count(score) FILTER (WHERE local_day >= $3 - 89) AS score_count,
                     max(fecha_revision) AS latest_audit
                 FROM kpi_engine.auditoria_facts
                 WHERE local_day <= $3
                 GROUP BY asesor_id
             ) AS audited USING (asesor_id)',
            regexp_replace(v_totals_columns, '(\w+)', 'coalesce(summed.\1, 0) AS \1', 'g'),
            kpi_engine.asesor_sums_query(format(
                '(SELECT * FROM (%s) AS window_row WHERE local_day BETWEEN $2 AND $3)',
                kpi_engine.asesor_window_query('')
            ))
        ),
        'true', NULL, NULL, v_today - 29, v_today
    );
END;
$audit_advisors$;

COMMENT ON FUNCTION kpi_engine.audit_advisors() IS
'Compares advisors, the rows of their windows and their totals with the source; heals and logs '
'differences; returns how many cells differed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.audit_advisors() FROM public;
