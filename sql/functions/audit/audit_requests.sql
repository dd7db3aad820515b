-- Audits the facts of the requests of some local days, and the months of these days.
--
-- Invariant: a request whose change still waits is no drift. Facts are compared with the
-- source, reference counts with the facts, months with both, in this order, so that one
-- pass heals everything.

CREATE OR REPLACE FUNCTION kpi_engine.audit_requests(p_from date, p_until date)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $audit_requests$
DECLARE
    v_cells bigint;
    v_from date := p_from;
    v_until date := p_until;
    v_months constant text :=
        '(SELECT * FROM kpi_engine.solicitud_facts
          WHERE mes BETWEEN date_trunc(''month'', $2::timestamp) AND $3
          AND local_day >= date_trunc(''month'', $2::timestamp))';
    v_known constant text := 'mes BETWEEN date_trunc(''month'', $2::timestamp) AND $3';
    v_keys record;
    v_ids uuid[];
BEGIN
    v_ids := ARRAY(
        SELECT audited.solicitud_id
        FROM kpi_engine.requests_of_days(p_from, p_until) AS audited
    );
    PERFORM kpi_engine.note_uncountable_rows(false, v_ids);
    v_cells := kpi_engine.audit_table(
        'solicitud_facts', 'SELECT * FROM kpi_engine.recomputed_solicitud_facts($1)',
        'solicitud_id = ANY ($1)', 'SELECT solicitud_id FROM kpi_engine.waiting_requests()',
        v_ids, p_from, p_until
    );
    IF v_cells > 0 THEN
        -- A fact that was healed may belong to any other month.
        v_from := '-infinity';
        v_until := '2099-12-31';
    END IF;
    FOR v_keys IN SELECT * FROM kpi_engine.month_keys() LOOP
        v_cells := v_cells + kpi_engine.audit_table(
            v_keys.table_name, kpi_engine.month_keys_query(v_months, v_keys.keys_of_fact),
            v_known, NULL, NULL, v_from, v_until
        );
    END LOOP;
    RETURN v_cells + kpi_engine.audit_table(
        'month_totals', kpi_engine.month_totals_query(v_months, ''), v_known, NULL, NULL, v_from,
        v_until
    );
END;
$audit_requests$;

COMMENT ON FUNCTION kpi_engine.audit_requests(date, date) IS
'Compares facts, reference counts and months of the local days p_from to p_until, both included, '
'with the source; heals and logs differences; returns how many cells differed. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.audit_requests(date, date) FROM public;
