-- Locks all source tables for the transaction, or waits until it can.
--
-- Invariant: when this returns, the transaction holds a reader's lock on each table and partition
-- that the src_ views read. So it never waits for a source table while it holds another one: a
-- session that alters several tables meets no deadlock. An attempt ends before deadlock_timeout and
-- gives up all of these locks, so that the other session goes first. Then the next attempt begins.
-- A lock_timeout of the caller ends the wait.
-- WHERE false: the statement locks the tables, reads nothing, and asks no foreign server.
-- LOCK TABLE would need rights on whole tables. PL/pgSQL keeps the plan.

CREATE OR REPLACE FUNCTION kpi_engine.hold_source()
RETURNS void
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $hold_source$
DECLARE
    v_limit constant text := current_setting('lock_timeout');
    v_began_at constant timestamptz := clock_timestamp();
    v_has_waited boolean := false;
BEGIN
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', CASE
                WHEN v_limit <> '0' AND v_limit::interval < interval '200 ms' THEN v_limit
                WHEN current_setting('deadlock_timeout')::interval < interval '400 ms' THEN '5ms'
                ELSE '200ms'
            END, true);
            PERFORM FROM (
                SELECT FROM kpi_engine.src_usuarios
                UNION ALL
                SELECT FROM kpi_engine.src_asesores
                UNION ALL
                SELECT FROM kpi_engine.src_solicitudes
                UNION ALL
                SELECT FROM kpi_engine.src_repuestos_solicitados
                UNION ALL
                SELECT FROM kpi_engine.src_ofertas
                UNION ALL
                SELECT FROM kpi_engine.src_ofertas_detalle
                UNION ALL
                SELECT FROM kpi_engine.src_adjudicaciones_repuesto
                UNION ALL
                SELECT FROM kpi_engine.src_ofertas_historicas
                UNION ALL
                SELECT FROM kpi_engine.src_historial_respuestas_ofertas
                UNION ALL
                SELECT FROM kpi_engine.src_auditorias_tiendas
            ) AS source
            WHERE false;
            PERFORM set_config('lock_timeout', v_limit, true);
            EXIT;
        EXCEPTION
            WHEN lock_not_available THEN
                -- This gave up the locks of this attempt. A session that waits has its lock now.
                NULL;
            WHEN undefined_table THEN
                PERFORM kpi_engine.require_source();
                RAISE;
        END;
        IF NOT v_has_waited THEN
            v_has_waited := true;
            -- The time of one attempt tells nobody how long this waits (lock_blocked_problem).
            PERFORM pg_try_advisory_xact_lock_shared(
                kpi_engine.source_wait_lock_class()::bigint::integer,
                floor(extract(EPOCH FROM v_began_at - timestamptz '2020-01-01 00:00:00Z'))::integer
            );
        END IF;
        IF v_limit <> '0' AND clock_timestamp() - v_began_at >= v_limit::interval THEN
            RAISE EXCEPTION 'an operational table stayed locked until the lock timeout (%)', v_limit
                USING ERRCODE = 'lock_not_available',
                      DETAIL = 'Another session has it for itself, as ALTER TABLE and TRUNCATE do '
                               'until their transaction ends. Nothing was read.',
                      HINT = 'Try again after that transaction. To wait for it: SET lock_timeout = 0;';
        END IF;
    END LOOP;
    IF v_has_waited THEN
        -- What it waited for may have renamed or dropped what the views read.
        PERFORM kpi_engine.require_source();
    END IF;
END;
$hold_source$;

COMMENT ON FUNCTION kpi_engine.hold_source() IS
'Takes the ACCESS SHARE locks of all source tables and their partitions, all or none, and waits '
'for them as long as lock_timeout of the caller says. Errors: 55P03 after that time, 55000 if the '
'tables moved meanwhile. Internal to what reads several source tables in one transaction.';

REVOKE ALL ON FUNCTION kpi_engine.hold_source() FROM public;
