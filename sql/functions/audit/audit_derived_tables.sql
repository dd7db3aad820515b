-- Audits derived tables: the requests of some local days, or all other tables.
--
-- Invariant: a row with a pending change is no drift. Tables kept by key are compared with the
-- source, the others with the tables that they read, in the order of upkeep. So one pass heals
-- everything. A table that follows from requests and has a period in its key is audited with the
-- first days of its periods. A table that reads a healed one is audited in full in the same call:
-- none is left wrong when kpi_engine.run_refresh() calls the differences healed.

CREATE OR REPLACE FUNCTION kpi_engine.audit_derived_tables(p_from date, p_until date)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET enable_nestloop = on
AS $audit_derived_tables$
DECLARE
    v_by_days constant boolean := p_from IS NOT NULL;
    v_table record;
    v_condition text;
    v_ids uuid[];
    v_in_full boolean;
    v_healed text[] := ARRAY[]::text[];
    v_found bigint;
    v_cells bigint := 0;
BEGIN
    PERFORM kpi_engine.distrust_statistics();
    IF v_by_days THEN
        v_ids := ARRAY(
            SELECT audited.solicitud_id
            FROM kpi_engine.requests_of_days(p_from, p_until) AS audited
        );
        PERFORM kpi_engine.note_uncountable_rows(false, v_ids);
    ELSE
        PERFORM kpi_engine.note_uncountable_advisors();
    END IF;
    FOR v_table IN
        SELECT
            derived_tables.*,
            period.column_name AS period,
            v_by_days = (
                'solicitud' = ANY (derived_tables.root_entities)
                AND (derived_tables.upkeep = 'key' OR period.column_name IS NOT NULL)
            ) AS is_asked_for
        FROM kpi_engine.derived_tables
        LEFT JOIN LATERAL (
            SELECT listed.column_name
            FROM unnest(derived_tables.key_columns) AS listed (column_name)
            WHERE listed.column_name IN ('dia', 'semana', 'mes')
            LIMIT 1
        ) AS period ON true
        ORDER BY derived_tables.depth, derived_tables.table_name
    LOOP
        -- A healed row may have counted in any other period, and in rows without a period.
        v_in_full := v_table.reads && v_healed OR NOT v_by_days;
        CONTINUE WHEN NOT v_table.is_asked_for AND NOT v_table.reads && v_healed;
        IF v_table.upkeep = 'key' AND v_by_days THEN
            v_found := kpi_engine.audit_table(
                v_table.table_name, kpi_engine.query_of_keys(v_table.table_name),
                format('%I = ANY ($1)', v_table.key_columns[1]),
                format(
                    'coalesce(fresh.%1$I, known.%1$I) NOT IN '
                    '(SELECT solicitud_id FROM kpi_engine.waiting_requests())',
                    v_table.key_columns[1]
                ),
                v_ids, p_from, p_until
            );
        ELSIF v_table.upkeep = 'key' THEN
            v_found := kpi_engine.audit_table(
                v_table.table_name,
                format('SELECT * FROM kpi_engine.%I', 'recomputed_' || v_table.table_name),
                'true',
                (
                    SELECT string_agg(
                        kpi_engine.not_waiting_condition(
                            format('%s.%I', side.name, listed.value), listed.key
                        ), ' AND ' ORDER BY listed.key, side.name
                    )
                    FROM jsonb_each_text(v_table.entities) AS listed
                    CROSS JOIN (VALUES ('fresh'), ('known')) AS side (name)
                ),
                NULL, NULL, NULL
            );
        ELSE
            v_condition := CASE
                WHEN v_in_full THEN 'true' ELSE format('%I BETWEEN $2 AND $3', v_table.period)
            END;
            v_found := kpi_engine.audit_table(
                v_table.table_name,
                format(
                    'SELECT * FROM (%s) AS computed WHERE (%s) AND %s',
                    kpi_engine.query_over(
                        kpi_engine.definition_of(v_table.table_name),
                        CASE
                            WHEN v_in_full THEN '{}'
                            ELSE kpi_engine.rows_of_days(v_table.reads)
                        END
                    ),
                    kpi_engine.counts_something(
                        (SELECT known FROM kpi_engine.derived_tables AS known
                         WHERE known.table_name = v_table.table_name)
                    ),
                    v_condition
                ),
                v_condition, NULL, NULL, p_from, p_until
            );
        END IF;
        IF v_found > 0 THEN
            v_healed := v_healed || v_table.table_name;
        END IF;
        v_cells := v_cells + v_found;
    END LOOP;
    RETURN v_cells;
END;
$audit_derived_tables$;

COMMENT ON FUNCTION kpi_engine.audit_derived_tables(date, date) IS
'Compares derived tables with what they are computed from: those of requests, for the local days '
'p_from to p_until, both included; with NULL all others. Then what reads a table that it healed. '
'Heals and logs differences; returns how many cells differed. Internal to analytics.audit().';

REVOKE ALL ON FUNCTION kpi_engine.audit_derived_tables(date, date) FROM public;
