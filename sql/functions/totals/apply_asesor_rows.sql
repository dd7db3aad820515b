-- Adds to the advisors' totals what kpi_engine.changed_asesor_rows holds, and adds up
-- the audits of kpi_engine.changed_asesor_ids again.
--
-- Invariant: totals move by the difference, exactly; rows that cancel out move nothing. An
-- advisor for whom nothing is left has no row.

CREATE OR REPLACE FUNCTION kpi_engine.apply_asesor_rows(p_suffix text, p_today date)
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $apply_asesor_rows$
DECLARE
    v_totals constant text := 'asesor_totals' || p_suffix;
    v_sums text[];
    v_rows bigint;
    v_changed boolean := false;
BEGIN
    SELECT array_agg(pg_attribute.attname::text ORDER BY pg_attribute.attnum) INTO v_sums
    FROM pg_attribute
    WHERE
        pg_attribute.attrelid = 'kpi_engine.asesor_totals_a'::regclass
        AND pg_attribute.attnum BETWEEN 2 AND (
            SELECT last_sum.attnum FROM pg_attribute AS last_sum
            WHERE
                last_sum.attrelid = 'kpi_engine.asesor_totals_a'::regclass
                AND last_sum.attname = 'answer_seconds_count'
        );
    EXECUTE format(
        'INSERT INTO kpi_engine.%1$I AS totals (asesor_id, %2$s)
         SELECT asesor_id, %2$s
         FROM (%3$s) AS difference
         WHERE (%2$s) IS DISTINCT FROM (%4$s)
         ON CONFLICT (asesor_id) DO UPDATE SET %5$s',
        v_totals,
        array_to_string(v_sums, ', '),
        kpi_engine.asesor_sums_query('kpi_engine.changed_asesor_rows'),
        array_to_string(array_fill(0, ARRAY[cardinality(v_sums)]), ', '),
        (SELECT string_agg(format('%1$I = totals.%1$I + excluded.%1$I', name), ', ')
         FROM unnest(v_sums) AS name)
    );
    GET DIAGNOSTICS v_rows := ROW_COUNT;
    v_changed := v_rows > 0;

    EXECUTE format(
        'INSERT INTO kpi_engine.%1$I AS totals
             (asesor_id, audits, score_sum, score_count, latest_audit)
         SELECT
             changed.asesor_id,
             count(*) FILTER (WHERE auditoria.local_day >= $1 - 89),
             coalesce(sum(auditoria.score) FILTER (WHERE auditoria.local_day >= $1 - 89), 0),
             count(auditoria.score) FILTER (WHERE auditoria.local_day >= $1 - 89),
             max(auditoria.fecha_revision)
         FROM kpi_engine.changed_asesor_ids AS changed
         LEFT JOIN kpi_engine.%2$I AS auditoria
             ON auditoria.asesor_id = changed.asesor_id AND auditoria.local_day <= $1
         GROUP BY changed.asesor_id
         ON CONFLICT (asesor_id) DO UPDATE SET
             audits = excluded.audits,
             score_sum = excluded.score_sum,
             score_count = excluded.score_count,
             latest_audit = excluded.latest_audit
         WHERE (totals.audits, totals.score_sum, totals.score_count, totals.latest_audit)
             IS DISTINCT FROM
             (excluded.audits, excluded.score_sum, excluded.score_count, excluded.latest_audit)',
        v_totals, 'auditoria_facts' || p_suffix
    ) USING p_today;
    GET DIAGNOSTICS v_rows := ROW_COUNT;
    v_changed := v_changed OR v_rows > 0;

    IF v_changed THEN
        EXECUTE format(
            'DELETE FROM kpi_engine.%I
             WHERE offers = 0 AND notifications = 0 AND audits = 0 AND latest_audit IS NULL',
            v_totals
        );
    END IF;
    PERFORM kpi_engine.empty_work_table('changed_asesor_rows');
    PERFORM kpi_engine.empty_work_table('changed_asesor_ids');
    RETURN v_changed;
END;
$apply_asesor_rows$;

COMMENT ON FUNCTION kpi_engine.apply_asesor_rows(text, date) IS
'Applies the work tables changed_asesor_rows and changed_asesor_ids to the totals of a set (_a, '
'_b, or nothing for the active one) for windows that end with p_today, and empties them; true '
'when a total changed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.apply_asesor_rows(text, date) FROM public;
