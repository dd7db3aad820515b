-- Compares the derived tables with a full recomputation from the source, and heals them.
--
-- Invariant: all of history, or one part of it. The part of a month never changes (month number
-- modulo n - 1). So all parts together miss nothing while history grows. Part n has the tables that
-- do not follow from requests by day, and the published views.
-- An audit of everything takes months with few requests together. One such group is a span.
-- SECURITY DEFINER: operators do not own the derived tables.

CREATE OR REPLACE FUNCTION analytics.audit(p_part integer DEFAULT NULL, p_parts integer DEFAULT 30)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY DEFINER
SET standard_conforming_strings = on
SET quote_all_identifiers = off
SET datestyle = 'ISO, YMD'
SET intervalstyle = postgres
SET extra_float_digits = 1
SET bytea_output = hex
SET constraint_exclusion = off
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $audit$
DECLARE
    v_span record;
    v_cells bigint := 0;
    v_last_audit_id bigint;
    v_shares constant integer := greatest(p_parts - 1, 1);
    -- Rows of facts and rows of the source: a request counts twice.
    v_span_rows constant bigint := 40000;
BEGIN
    IF p_parts IS NULL OR p_parts < 1 OR p_part < 1 OR p_part > p_parts THEN
        RAISE EXCEPTION 'p_part must be one of the p_parts parts'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('Got part %s of %s.', p_part, p_parts),
                  HINT = 'Omit both for everything; else 1 <= p_part <= p_parts.';
    END IF;
    PERFORM kpi_engine.refuse_unfit_transaction('an audit', 'SELECT analytics.audit()');
    PERFORM kpi_engine.hold_refresh_lock();
    PERFORM kpi_engine.require_source();
    PERFORM kpi_engine.hold_source();
    IF kpi_engine.next_rebuild_reason() IS NOT NULL THEN
        RAISE NOTICE 'teloo-analytics: nothing to audit: the next refresh computes everything again';
        RETURN 0;
    END IF;
    SELECT coalesce(max(audit_log.audit_id), 0) INTO v_last_audit_id FROM kpi_engine.audit_log;
    IF p_part IS NULL OR p_part = 1 THEN
        v_cells := v_cells + kpi_engine.audit_derived_tables('-infinity', '1899-12-31');
    END IF;
    FOR v_span IN
        SELECT
            min(counted.first_day) AS first_day,
            CASE
                WHEN max(counted.first_day) = '2200-01-01' THEN 'infinity'
                ELSE (max(counted.first_day) + interval '1 month')::date - 1
            END AS last_day
        FROM (
            SELECT
                month.first_day,
                -- Months of one part of several do not follow each other.
                CASE
                    WHEN p_part IS NULL OR v_shares = 1
                        THEN div(sum(month.row_count) OVER (ORDER BY month.first_day), v_span_rows)
                    ELSE row_number() OVER (ORDER BY month.first_day)
                END AS span
            FROM kpi_engine.audited_months() AS month
            WHERE
                p_part IS NULL
                OR (
                    12 * extract(YEAR FROM month.first_day) + extract(MONTH FROM month.first_day)
                )::integer % v_shares = p_part - 1
        ) AS counted
        GROUP BY counted.span
        ORDER BY first_day
    LOOP
        v_cells := v_cells + kpi_engine.audit_derived_tables(v_span.first_day, v_span.last_day);
    END LOOP;
    IF p_part IS NULL OR p_part = p_parts THEN
        v_cells := v_cells + kpi_engine.audit_derived_tables(NULL, NULL);
        v_cells := v_cells + kpi_engine.audit_views();
    END IF;
    PERFORM kpi_engine.refuse_rewritten_source();
    IF v_cells > 0 THEN
        RAISE WARNING 'teloo-analytics: the audit found % wrong cell(s): the next refresh shows '
            'the right ones', v_cells
            USING DETAIL = (
                SELECT string_agg(
                    format('%s in %s.%s', listed.cells, listed.table_name, listed.column_name), ', '
                    ORDER BY listed.place
                ) FILTER (WHERE listed.place <= 5) || CASE WHEN count(*) > 5 THEN ' …' ELSE '' END
                FROM (
                    SELECT
                        found.table_name,
                        found.column_name,
                        sum(found.cells) AS cells,
                        row_number() OVER (
                            ORDER BY sum(found.cells) DESC, found.table_name, found.column_name
                        ) AS place
                    FROM kpi_engine.audit_log AS found
                    WHERE found.audit_id > v_last_audit_id
                    GROUP BY found.table_name, found.column_name
                ) AS listed
            ),
            HINT = format(
                'SELECT * FROM analytics.audit_log WHERE audit_id > %s;', v_last_audit_id);
    END IF;
    RETURN v_cells;
END;
$audit$;

COMMENT ON FUNCTION analytics.audit(integer, integer) IS
'Compares the derived tables with the source, and the KPI views that are up to date with their '
'definitions: everything, or part p_part of p_parts. Heals the derived tables, lists the '
'differences in analytics.audit_log by day and column, and returns their number: 0 is good. '
'is_healed becomes true with the next refresh, when the views show the right cells. Pending '
'changes are no differences. Errors: 22023 if there is no such part, 55P03 while a refresh runs, '
'25006 in a read-only transaction and at a standby, 55000 in a serializable one, '
'40001 at REPEATABLE READ if a source table was rewritten after the snapshot.';

REVOKE ALL ON FUNCTION analytics.audit(integer, integer) FROM public;
GRANT EXECUTE ON FUNCTION analytics.audit(integer, integer) TO analytics_operador;
