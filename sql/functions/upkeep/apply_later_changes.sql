-- Applies changes, and then those that came meanwhile, until the derived tables are of one moment.
--
-- Invariant: afterwards they are what the source gave when the last keys were taken. Each statement
-- has its own snapshot, so a row of these keys may already show a transaction whose other keys were
-- not taken. All its keys are in the log by then. So if none of the keys applied last came again,
-- no row shows more than the moment when they were taken. Else these are taken and applied, too:
-- each round has less to do than the one before. If a lost change came meanwhile, it stays in the
-- log: the caller, or the next refresh, computes everything again.

CREATE OR REPLACE FUNCTION kpi_engine.apply_later_changes(
    p_changes kpi_engine.changed_keys[],
    p_today date,
    OUT changed_tables text[],
    OUT keys bigint,
    OUT requests bigint,
    OUT is_half_seen boolean
)
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $apply_later_changes$
DECLARE
    v_changes kpi_engine.changed_keys[] := p_changes;
    v_rounds integer := 0;
    v_moves_windows boolean;
BEGIN
    changed_tables := ARRAY[]::text[];
    keys := 0;
    requests := 0;
    is_half_seen := false;
    LOOP
        IF v_changes IS NULL THEN
            SELECT array_agg(ROW(taken.entity, taken.keys)::kpi_engine.changed_keys) INTO v_changes
            FROM kpi_engine.take_changes() AS taken;
            EXIT WHEN v_changes IS NULL;
            INSERT INTO kpi_engine.change_log (entity, key)
            SELECT 'everything', lost.key
            FROM unnest(kpi_engine.keys_of(v_changes, 'everything')) AS lost (key);
            PERFORM kpi_engine.check_changed_requests(kpi_engine.keys_of(v_changes, 'solicitud'));
        END IF;
        PERFORM kpi_engine.require_own_ids(v_changes);
        SELECT engine_state.today < p_today INTO v_moves_windows FROM kpi_engine.engine_state;
        changed_tables := changed_tables || kpi_engine.apply_upkeep(v_changes, p_today);
        keys := keys + coalesce((
            SELECT sum(cardinality(taken.keys)) FROM unnest(v_changes) AS taken
            WHERE taken.entity <> 'everything'
        ), 0);
        requests := requests + cardinality(kpi_engine.keys_of(v_changes, 'solicitud'));
        IF (SELECT sum(cardinality(taken.keys)) FROM unnest(v_changes) AS taken) <= 1000 THEN
            PERFORM kpi_engine.note_uncountable_rows(
                false,
                kpi_engine.keys_of(v_changes, 'solicitud'),
                kpi_engine.keys_of(v_changes, 'asesor'),
                kpi_engine.keys_of(v_changes, 'usuario'),
                kpi_engine.keys_of(v_changes, 'historica'),
                kpi_engine.keys_of(v_changes, 'notificacion'),
                kpi_engine.keys_of(v_changes, 'auditoria')
            );
        END IF;
        -- Rows at the edge of a window were computed, too.
        EXIT WHEN NOT kpi_engine.come_again(CASE WHEN NOT v_moves_windows THEN v_changes END);
        v_rounds := v_rounds + 1;
        IF v_rounds = 20 THEN
            RAISE WARNING 'teloo-analytics: the same rows change faster than a refresh computes them'
                USING DETAIL = 'Until the next refresh the KPIs may show a part of a transaction.';
            is_half_seen := true;
            EXIT;
        END IF;
        v_changes := NULL;
    END LOOP;
END;
$apply_later_changes$;

COMMENT ON FUNCTION kpi_engine.apply_later_changes(kpi_engine.changed_keys[], date) IS
'Applies these taken changes (NULL: everything was computed again) for windows that end with '
'p_today, and then takes and applies what came meanwhile, until no row shows a part of it. Returns '
'the derived tables that changed, how many keys it applied, and of these how many requests; '
'is_half_seen: the same rows changed faster, and it gave up. '
'Internal to kpi_engine.apply_changes().';

REVOKE ALL ON FUNCTION kpi_engine.apply_later_changes(kpi_engine.changed_keys[], date) FROM public;
