-- Computes everything again from the source, and commits after each batch.
--
-- Invariant: until the end, readers see the state before, and none of them waits. Its memory is
-- bounded. After an interruption the next call within an hour continues. (kpi_engine.begin_rebuild
-- says when.) analytics.rebuild_progress shows its progress. It runs only outside a transaction
-- block.
-- SECURITY INVOKER, because a definer can't COMMIT. search_path is set again after each COMMIT.

CREATE OR REPLACE PROCEDURE analytics.rebuild(p_restart boolean DEFAULT NULL)
LANGUAGE plpgsql
SECURITY INVOKER
AS $rebuild$
DECLARE
    v_message text;
    v_sqlstate text;
    v_start integer;
    -- Whether everything is computed, and only views were not published.
    v_is_computed boolean := false;
    v_words text;
    c_go_on constant text := 'CALL analytics.rebuild(p_restart => false);';
BEGIN
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    IF NOT pg_try_advisory_lock(kpi_engine.refresh_lock_key()) THEN
        PERFORM kpi_engine.raise_refresh_running();
    END IF;
    v_start := kpi_engine.show_refresh_start(true);
    CALL kpi_engine.run_rebuild_steps(p_restart, NULL, v_message, v_sqlstate);
    SET LOCAL search_path = pg_catalog, pg_temp;
    IF v_sqlstate IS NULL THEN
        v_is_computed := true;
        BEGIN
            SELECT string_agg(format('%s: %s', failed.view_name, failed.error_message), '; ')
            INTO v_message
            FROM analytics.refresh_all_mv() AS failed
            WHERE failed.refresh_status = 'ERROR';
            v_sqlstate := CASE WHEN v_message IS NOT NULL THEN 'P0001' END;
        EXCEPTION WHEN query_canceled OR OTHERS THEN
            GET STACKED DIAGNOSTICS v_message := MESSAGE_TEXT, v_sqlstate := RETURNED_SQLSTATE;
        END;
    END IF;
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
    SET LOCAL search_path = pg_catalog, pg_temp;
    PERFORM kpi_engine.pin_settings();
    PERFORM pg_advisory_unlock_shared(
        kpi_engine.refresh_start_lock_class()::bigint::integer, v_start);
    PERFORM pg_advisory_unlock(kpi_engine.refresh_lock_key());
    IF v_sqlstate IS NOT NULL THEN
        SELECT string_agg(
            DISTINCT format(
                'SELECT analytics.accept_gate(%L, ''once'', ''the reason'');', gate_holds.view_name
            ), ' '
        )
        INTO v_words
        FROM analytics.gate_holds
        WHERE v_is_computed OR v_sqlstate = 'TA001' AND gate_holds.view_name = 'changes';
        RAISE EXCEPTION 'the rebuild ended early: %', v_message
            USING ERRCODE = v_sqlstate,
                  HINT = CASE
                      WHEN v_words IS NOT NULL
                          THEN format('If the figures are right: %s Then: %s', v_words, CASE
                              WHEN v_is_computed THEN 'SELECT * FROM refresh_all_mv();'
                              ELSE c_go_on
                          END)
                      WHEN v_is_computed
                          THEN 'Everything is computed again. Mend the cause. Then: '
                              'SELECT * FROM refresh_all_mv(); publishes the other views.'
                      ELSE c_go_on || ' goes on where it ended.'
                  END;
    END IF;
END;
$rebuild$;

COMMENT ON PROCEDURE analytics.rebuild (boolean) IS
'Computes all facts, months and totals again from the source, and publishes the views. Run it '
'outside a transaction block. It commits after each batch (setting rebuild_batch_requests). After '
'an interruption it goes on if it was begun less than an hour ago. p_restart: true never goes on, '
'false goes on however long ago that was. In any case it begins anew if the zone, the rules or the '
'source changed, or change capture had a gap. analytics.rebuild_progress shows its progress. '
'Errors: 55P03 while a refresh runs, 2D000 in a transaction block.';

REVOKE ALL ON PROCEDURE analytics.rebuild(boolean) FROM public;
GRANT EXECUTE ON PROCEDURE analytics.rebuild(boolean) TO analytics_operador;
