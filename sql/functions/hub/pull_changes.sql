-- At a hub: reads what a site answered to kpi_engine.ask_changes().
--
-- Invariant: the mirror of the site equals its facts in the snapshot of the offer, or the caller
-- rolls back to what it was.

CREATE OR REPLACE FUNCTION kpi_engine.pull_changes(p_site text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $pull_changes$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_table record;
BEGIN
    -- Two commands SET come first.
    FOR v_command IN 1..2 LOOP
        PERFORM kpi_engine.await_answer(p_site);
        EXECUTE format('SELECT FROM %s.dblink_get_result($1) AS done (status text)', v_schema)
        USING 'teloo_hub_' || p_site;
    END LOOP;
    -- In the order of the questions.
    FOR v_table IN
        SELECT mirrored.* FROM kpi_engine.mirrored_tables() AS mirrored ORDER BY mirrored.table_name
    LOOP
        PERFORM kpi_engine.await_answer(p_site);
        PERFORM kpi_engine.take_answer(
            p_site, v_table, 'known.id = ANY (ARRAY(SELECT answer.asked_key FROM answer))');
    END LOOP;
    PERFORM kpi_engine.end_answers(p_site);
END;
$pull_changes$;

COMMENT ON FUNCTION kpi_engine.pull_changes(text) IS
'Brings the mirror of one site up to date by the rows that changed there. Errors: TH002 a row is '
'at another site, too; any other: it is away. Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.pull_changes(text) FROM public;
