-- Refuses a declared total over a column that is gone.
--
-- Invariant: the gate compares each total that a COMMENT declares (kpi_engine.declared_totals).
-- make migrate asks this at its end, when the views without a file are dropped.

CREATE OR REPLACE FUNCTION kpi_engine.refuse_vanished_totals()
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $refuse_vanished_totals$
DECLARE
    v_total record;
BEGIN
    SELECT declared.* INTO v_total
    FROM kpi_engine.declared_totals() AS declared
    WHERE NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE
            pg_attribute.attrelid = to_regclass(format('analytics.%I', declared.part_view))
            AND pg_attribute.attname = declared.part_column
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
    )
    ORDER BY declared.view_name, declared.column_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column % of % says sum %.%, which is gone',
            v_total.column_name, v_total.view_name, v_total.part_view, v_total.part_column
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = 'The gate would not compare them any more; nothing was changed.',
                  HINT = format(
                      'Take "sum %s.%s" out of the COMMENT, or put the column back.',
                      v_total.part_view, v_total.part_column);
    END IF;
END;
$refuse_vanished_totals$;

COMMENT ON FUNCTION kpi_engine.refuse_vanished_totals() IS
'Raises 2BP01 if a column is declared as the sum of a column that does not exist. Internal to make '
'migrate.';

REVOKE ALL ON FUNCTION kpi_engine.refuse_vanished_totals() FROM public;
