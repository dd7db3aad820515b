-- Notes the present binding of the src_ views.
--
-- Invariant: if they are bound to something else than before, everything is computed again.

CREATE OR REPLACE FUNCTION kpi_engine.note_source_binding()
RETURNS boolean
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_source_binding$
DECLARE
    v_now record;
    v_is_changed boolean;
BEGIN
    v_now := kpi_engine.source_now();
    SELECT
        engine_state.source_binding IS NOT NULL
        AND (engine_state.source_binding, engine_state.source_values)
        IS DISTINCT FROM (v_now.binding, v_now.enum_values)
    INTO STRICT v_is_changed
    FROM kpi_engine.engine_state;
    UPDATE kpi_engine.engine_state SET
        source_binding = v_now.binding,
        source_values = v_now.enum_values,
        database_identity = CASE
            -- In another database than before, kpi_engine.recognize_database() notes this.
            WHEN engine_state.source_binding IS NULL
                THEN coalesce(engine_state.database_identity, kpi_engine.database_identity())
            ELSE engine_state.database_identity
        END
    WHERE
        (engine_state.source_binding, engine_state.source_values)
        IS DISTINCT FROM (v_now.binding, v_now.enum_values);
    IF v_is_changed THEN
        PERFORM kpi_engine.note_rebuild_reason('the source tables were bound again');
    END IF;
    RETURN v_is_changed;
END;
$note_source_binding$;

COMMENT ON FUNCTION kpi_engine.note_source_binding() IS
'Notes the tables and columns that the src_ views read; true where they are others than before. '
'Then the next refresh computes everything again. Internal to make migrate, '
'kpi_engine.settle_source() and analytics.bind_source().';

REVOKE ALL ON FUNCTION kpi_engine.note_source_binding() FROM public;
