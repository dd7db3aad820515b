-- Notes which derived tables a refresh changed.
--
-- Invariant: from here on, a view that reads one of them shows an older data version than the
-- table. So it is published again, also if that fails the first time.

CREATE OR REPLACE FUNCTION kpi_engine.note_derived_change(p_table_names text[])
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_derived_change$
BEGIN
    IF coalesce(cardinality(p_table_names), 0) = 0 THEN
        RETURN;
    END IF;
    UPDATE kpi_engine.engine_state SET data_version = data_version + 1;
    UPDATE kpi_engine.derived_tables SET changed_version = engine_state.data_version
    FROM kpi_engine.engine_state
    WHERE derived_tables.table_name = ANY (p_table_names);
END;
$note_derived_change$;

COMMENT ON FUNCTION kpi_engine.note_derived_change(text[]) IS
'Begins a new data version in which these derived tables changed. If there is none, nothing '
'changes. Internal.';

REVOKE ALL ON FUNCTION kpi_engine.note_derived_change(text[]) FROM public;
