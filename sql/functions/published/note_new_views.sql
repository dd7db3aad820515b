-- Notes the views whose contents the history does not have yet.
--
-- Invariant: what breaks a rule of the gate is an error, as in a refresh: an upgrade shows no
-- nonsense. These views show the data of the last refresh, so they report no period that it did not
-- see the end of.

CREATE OR REPLACE FUNCTION kpi_engine.note_new_views()
RETURNS bigint
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_new_views$
DECLARE
    v_views text[];
    v_view text;
    v_run_id bigint;
    v_changed bigint;
BEGIN
    v_views := ARRAY(SELECT refilled.view_name FROM kpi_engine.views_not_noted() AS refilled);
    FOREACH v_view IN ARRAY v_views LOOP
        v_run_id := nextval('kpi_engine.refresh_run_id_seq');
        v_changed := coalesce(v_changed, 0)
            + kpi_engine.note_publication(v_view, v_run_id, NULL, NULL);
        BEGIN
            PERFORM kpi_engine.check_gate(v_view, v_run_id);
        EXCEPTION WHEN SQLSTATE 'TA001' THEN
            RAISE EXCEPTION 'view % would show by its new definition what the gate refuses: %',
                v_view, SQLERRM
                USING ERRCODE = 'TA001',
                      HINT = 'Mend the definition. Or if it is right: SELECT analytics.set_setting('
                             '''gate'', ''off''); upgrade again; then set it back.';
        END;
        PERFORM kpi_engine.use_acceptances(v_view, v_run_id);
    END LOOP;
    RETURN v_changed;
END;
$note_new_views$;

COMMENT ON FUNCTION kpi_engine.note_new_views() IS
'Notes the publish of each view that make migrate built anew. Returns the number of changed rows, '
'or NULL. Error: TA001 if the gate refuses one. Internal to make migrate, which holds the refresh '
'lock.';

REVOKE ALL ON FUNCTION kpi_engine.note_new_views() FROM public;
