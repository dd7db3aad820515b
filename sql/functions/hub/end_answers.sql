-- Reads the answers of commands at a site, to the last one.
--
-- Invariant: afterwards the connection can be used for another question.

CREATE OR REPLACE FUNCTION kpi_engine.end_answers(p_site text)
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $end_answers$
DECLARE
    v_read constant text := format(
        'SELECT count(*) FROM %s.dblink_get_result($1) AS answer (status text)',
        kpi_engine.dblink_schema()
    );
    v_lines bigint;
BEGIN
    LOOP
        PERFORM kpi_engine.await_answer(p_site);
        EXECUTE v_read INTO v_lines USING 'teloo_hub_' || p_site;
        EXIT WHEN v_lines = 0;
    END LOOP;
END;
$end_answers$;

COMMENT ON FUNCTION kpi_engine.end_answers(text) IS
'Waits for the end of the commands that a site still carries out. Errors: those of the commands, '
'and 08006 (kpi_engine.await_answer). Internal to the hub.';

REVOKE ALL ON FUNCTION kpi_engine.end_answers(text) FROM public;
