-- Adds up months and reference counts from the facts of one set.
--
-- Invariant: the tables of months of this set were empty.

CREATE OR REPLACE FUNCTION kpi_engine.fill_months(p_suffix text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $fill_months$
DECLARE
    v_facts constant text := format('kpi_engine.%I', 'solicitud_facts' || p_suffix);
    v_keys record;
BEGIN
    FOR v_keys IN SELECT * FROM kpi_engine.month_keys() LOOP
        EXECUTE format(
            'INSERT INTO kpi_engine.%I %s', v_keys.table_name || p_suffix,
            kpi_engine.month_keys_query(v_facts, v_keys.keys_of_fact)
        );
        -- Vacuum may have noted it as an empty table, and the totals join it.
        EXECUTE format('ANALYZE kpi_engine.%I', v_keys.table_name || p_suffix);
    END LOOP;
    EXECUTE format(
        'INSERT INTO kpi_engine.%I %s', 'month_totals' || p_suffix,
        kpi_engine.month_totals_query(v_facts, p_suffix)
    );
END;
$fill_months$;

COMMENT ON FUNCTION kpi_engine.fill_months(text) IS
'Fills the empty tables of months of a set (suffix _a or _b) from its facts. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.fill_months(text) FROM public;
