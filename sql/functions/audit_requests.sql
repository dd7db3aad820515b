-- Audits the facts of the requests of some local days, and the months of these days.
--
-- Invariant: a request whose change still waits is no drift. Facts are compared with the
-- source, reference counts with the facts, months with both, in this order, so that one
-- pass heals everything.

CREATE OR REPLACE FUNCTION analytics.audit_requests(p_from date, p_until date)
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $audit_requests$
DECLARE
    v_ids uuid[];
    v_cells bigint;
    v_months constant text :=
        '(SELECT * FROM analytics.solicitud_facts
          WHERE mes BETWEEN date_trunc(''month'', $2::timestamp) AND $3
          AND local_day >= date_trunc(''month'', $2::timestamp))';
    v_known constant text := 'mes BETWEEN date_trunc(''month'', $2::timestamp) AND $3';
    v_keys record;
BEGIN
    v_ids := ARRAY(
        SELECT audited.solicitud_id
        FROM analytics.requests_of_days(p_from, p_until) AS audited
        EXCEPT
        SELECT waiting.solicitud_id FROM analytics.waiting_requests() AS waiting
    );
    v_cells := analytics.audit_table(
        'solicitud_facts', 'SELECT * FROM analytics.recomputed_solicitud_facts($1)',
        'solicitud_id = ANY ($1)', v_ids, p_from, p_until
    );
    FOR v_keys IN SELECT * FROM analytics.month_keys() LOOP
        v_cells := v_cells + analytics.audit_table(
            v_keys.table_name, analytics.month_keys_query(v_months, v_keys.keys_of_fact),
            v_known, v_ids, p_from, p_until
        );
    END LOOP;
    RETURN v_cells + analytics.audit_table(
        'month_totals', analytics.month_totals_query(v_months, ''), v_known, v_ids, p_from,
        p_until
    );
END;
$audit_requests$;

COMMENT ON FUNCTION analytics.audit_requests(date, date) IS
'Compares facts, reference counts and months of the local days p_from to p_until, both included, '
'with the source; heals and logs differences; returns how many cells differed. Internal.';

REVOKE ALL ON FUNCTION analytics.audit_requests(date, date) FROM public;
