-- Takes all rows of one site, in slices, where its changes would not do.
--
-- Invariant: all rows are of one snapshot of the site (REPEATABLE READ there). The mirror of the
-- site equals its facts in that snapshot, or the caller rolls back to what it was. The transaction
-- at the site ends here, not with the hub's refresh: so the site's vacuum does not wait for the
-- hub, and a site that dies later can't make the hub's commit fail. That is why this uses dblink:
-- postgres_fdw keeps its transaction open until the local one ends.

CREATE OR REPLACE FUNCTION kpi_engine.pull_site(p_site text)
RETURNS jsonb
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $pull_site$
DECLARE
    v_schema constant text := kpi_engine.dblink_schema();
    v_connection constant text := 'teloo_hub_' || p_site;
    v_offer record;
    v_table record;
    v_slices integer;
    v_slice integer;
    v_from uuid;
    v_until uuid;
    v_condition text;
BEGIN
    v_offer := kpi_engine.offer_of_site(p_site);
    FOR v_table IN SELECT mirrored.* FROM kpi_engine.mirrored_tables() AS mirrored LOOP
        -- By ranges of the key: an answer waits in memory here.
        PERFORM kpi_engine.send_to_site(
            p_site, format('SELECT count(*) FROM kpi_engine.%I', v_table.table_name));
        PERFORM kpi_engine.await_answer(p_site);
        EXECUTE format(
            'SELECT 1 + least(65535, rows / 20000) FROM %s.dblink_get_result($1) AS t (rows bigint)',
            v_schema
        ) INTO v_slices USING v_connection;
        PERFORM kpi_engine.end_answers(p_site);
        FOR v_slice IN 1..v_slices LOOP
            v_from := rpad(lpad(to_hex((v_slice - 1) * 65536 / v_slices), 4, '0'), 32, '0');
            v_until := CASE
                WHEN v_slice = v_slices THEN 'ffffffff-ffff-ffff-ffff-ffffffffffff'
                ELSE rpad(lpad(to_hex(v_slice * 65536 / v_slices), 4, '0'), 32, '0')
            END;
            v_condition := format(
                '%%1$s >= %L AND %%1$s %s %L', v_from,
                CASE WHEN v_slice = v_slices THEN '<=' ELSE '<' END, v_until);
            PERFORM kpi_engine.send_to_site(p_site, format(
                'SELECT facts.%1$I, %2$s FROM kpi_engine.%3$I AS facts WHERE %4$s',
                v_table.key_column, v_table.remote_columns, v_table.table_name,
                format(v_condition, format('facts.%I', v_table.key_column))
            ));
            PERFORM kpi_engine.await_answer(p_site);
            PERFORM kpi_engine.take_answer(p_site, v_table, format(v_condition, 'known.id'));
            PERFORM kpi_engine.end_answers(p_site);
        END LOOP;
    END LOOP;
    PERFORM kpi_engine.send_to_site(p_site, 'COMMIT');
    PERFORM kpi_engine.end_answers(p_site);
    RETURN to_jsonb(v_offer);
END;
$pull_site$;

COMMENT ON FUNCTION kpi_engine.pull_site(text) IS
'Makes the mirror of one site anew and notes the keys that changed in kpi_engine.change_log. '
'Returns what the site offered (kpi_engine.offer_of_site). Errors: TH001 it is refused, TH002 '
'a row is at another site, too; any other: it is away. Internal to kpi_engine.pull_sites().';

REVOKE ALL ON FUNCTION kpi_engine.pull_site(text) FROM public;
