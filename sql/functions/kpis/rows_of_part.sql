-- The rows of a KPI view, computed from the facts of some local days only.
--
-- Invariant: each figure is what the view would show if there were no request of any other day. It
-- reads the facts as the last refresh left them (kpi_engine.query_over_facts), and writes nothing.
-- Facts without a local_day, such as those of advisors, are read in full: a column that follows
-- from them must be declared whole (kpi_engine.kpi_has_parts).

CREATE OR REPLACE FUNCTION kpi_engine.rows_of_part(
    p_relation regclass, p_first_day date, p_last_day date
)
RETURNS SETOF jsonb
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
-- A definition that casts an instant to a day or a text means the same in each session.
SET timezone = 'UTC'
SET jit = off
AS $rows_of_part$
BEGIN
    RETURN QUERY EXECUTE kpi_engine.query_over_facts(
        p_relation, 'local_day BETWEEN $1 AND $2', 'some days', 'local_day'
    ) USING p_first_day, p_last_day;
END;
$rows_of_part$;

COMMENT ON FUNCTION kpi_engine.rows_of_part(regclass, date, date) IS
'Rows, as objects, of a KPI view from the facts of the local days p_first_day to p_last_day. The '
'cost follows the facts of these days. Internal to kpi_engine.kpi_compared_query().';

REVOKE ALL ON FUNCTION kpi_engine.rows_of_part(regclass, date, date) FROM public;
