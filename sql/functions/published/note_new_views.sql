-- Notes the views whose contents the history does not have yet.

CREATE OR REPLACE FUNCTION kpi_engine.note_new_views()
RETURNS bigint
LANGUAGE sql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $note_new_views$
    SELECT kpi_engine.heal_publications();
    SELECT sum(kpi_engine.note_publication(
        view_state.view_name, nextval('kpi_engine.refresh_run_id_seq'), NULL
    ))
    FROM kpi_engine.materialized_views() AS listed
    INNER JOIN kpi_engine.view_state ON view_state.view_name = listed.view_name
    WHERE
        listed.is_populated
        AND view_state.last_success_at IS NOT NULL
        AND view_state.noted_relation IS DISTINCT FROM listed.relation::oid;
$note_new_views$;

COMMENT ON FUNCTION kpi_engine.note_new_views() IS
'Notes the publish of each view that make migrate built anew. Returns the number of changed rows, '
'or NULL. Internal to make migrate, which holds the refresh lock.';

REVOKE ALL ON FUNCTION kpi_engine.note_new_views() FROM public;
