-- Brings advisors, the rows of their windows and their totals up to date.
--
-- Invariant: afterwards these rows are what the source gives, the windows end with p_today
-- and the totals moved by exactly the difference. Returns the derived tables whose
-- visible contents changed.

CREATE OR REPLACE FUNCTION kpi_engine.apply_asesor_changes(
    p_today date,
    p_asesor_ids uuid[],
    p_usuario_ids uuid[],
    p_historica_ids uuid[],
    p_notificacion_ids uuid[],
    p_auditoria_ids uuid[]
)
RETURNS text[]
LANGUAGE plpgsql
VOLATILE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET plan_cache_mode = force_custom_plan
SET random_page_cost = 1.1
SET enable_mergejoin = off
SET jit = off
AS $apply_asesor_changes$
DECLARE
    v_today_before constant date := (SELECT engine_state.today FROM kpi_engine.engine_state);
    v_asesor_ids uuid[];
    v_changed_tables text[] := ARRAY[]::text[];
    v_rows bigint;
BEGIN
    PERFORM kpi_engine.empty_work_table('changed_asesor_rows');
    PERFORM kpi_engine.empty_work_table('changed_asesor_ids');
    IF p_today > v_today_before THEN
        PERFORM kpi_engine.move_asesor_windows(v_today_before, p_today);
        UPDATE kpi_engine.engine_state SET today = p_today;
    END IF;

    IF coalesce(cardinality(p_asesor_ids), 0) + coalesce(cardinality(p_usuario_ids), 0) > 0 THEN
        v_asesor_ids := ARRAY(
            SELECT unnest(p_asesor_ids)
            UNION
            SELECT asesor_facts.asesor_id
            FROM unnest(p_usuario_ids) AS changed (usuario_id)
            INNER JOIN kpi_engine.asesor_facts ON asesor_facts.usuario_id = changed.usuario_id
        );
        WITH fresh AS MATERIALIZED (
            SELECT recomputed.*
            FROM kpi_engine.recomputed_asesor_facts AS recomputed
            WHERE recomputed.asesor_id = ANY (v_asesor_ids)
        ),

        known AS MATERIALIZED (
            SELECT asesor_facts.*
            FROM kpi_engine.asesor_facts
            WHERE asesor_facts.asesor_id = ANY (v_asesor_ids)
        ),

        different AS MATERIALIZED (
            SELECT
                coalesce(fresh.asesor_id, known.asesor_id) AS asesor_id,
                fresh.asesor_id IS NULL AS is_gone
            FROM fresh
            FULL JOIN known ON known.asesor_id = fresh.asesor_id
            WHERE fresh.* IS DISTINCT FROM known.*
        ),

        gone AS (
            DELETE FROM kpi_engine.asesor_facts
            USING different
            WHERE different.is_gone AND asesor_facts.asesor_id = different.asesor_id
        ),

        come AS (
            INSERT INTO kpi_engine.asesor_facts
            SELECT fresh.*
            FROM fresh
            INNER JOIN different ON different.asesor_id = fresh.asesor_id
            ON CONFLICT (asesor_id) DO UPDATE SET
                usuario_id = excluded.usuario_id,
                nombre = excluded.nombre,
                email = excluded.email,
                has_usuario = excluded.has_usuario,
                ciudad = excluded.ciudad,
                ciudad_key = excluded.ciudad_key,
                departamento = excluded.departamento,
                punto_venta = excluded.punto_venta,
                estado = excluded.estado,
                confianza = excluded.confianza,
                actividad_reciente_pct = excluded.actividad_reciente_pct,
                desempeno_historico_pct = excluded.desempeno_historico_pct,
                nivel_actual = excluded.nivel_actual
        )

        SELECT count(*) INTO v_rows FROM different;
        IF v_rows > 0 THEN
            v_changed_tables := v_changed_tables || 'asesor_facts'::text;
        END IF;
    END IF;

    IF cardinality(p_historica_ids) > 0 THEN
        WITH fresh AS MATERIALIZED (
            SELECT recomputed.*
            FROM unnest(p_historica_ids) AS changed (historica_id)
            INNER JOIN kpi_engine.recomputed_historica_facts AS recomputed
                ON recomputed.historica_id = changed.historica_id
            WHERE recomputed.local_day >= p_today - 29
        ),

        known AS MATERIALIZED (
            SELECT historica_facts.*
            FROM unnest(p_historica_ids) AS changed (historica_id)
            INNER JOIN kpi_engine.historica_facts USING (historica_id)
        ),

        different AS MATERIALIZED (
            SELECT
                coalesce(fresh.historica_id, known.historica_id) AS historica_id,
                fresh.historica_id IS NULL AS is_gone
            FROM fresh
            FULL JOIN known ON known.historica_id = fresh.historica_id
            WHERE fresh.* IS DISTINCT FROM known.*
        ),

        gone AS (
            DELETE FROM kpi_engine.historica_facts
            USING different
            WHERE different.is_gone AND historica_facts.historica_id = different.historica_id
        ),

        come AS (
            INSERT INTO kpi_engine.historica_facts
            SELECT fresh.*
            FROM fresh
            INNER JOIN different ON different.historica_id = fresh.historica_id
            ON CONFLICT (historica_id) DO UPDATE SET
                asesor_id = excluded.asesor_id,
                local_day = excluded.local_day,
                is_won = excluded.is_won,
                is_accepted = excluded.is_accepted,
                is_delivered = excluded.is_delivered,
                response_seconds = excluded.response_seconds,
                amount = excluded.amount
        )

        INSERT INTO kpi_engine.changed_asesor_rows (
            sign, asesor_id, offers, offers_won, offers_accepted, offers_delivered,
            response_seconds, amount
        )
        SELECT
            signed.sign,
            signed.asesor_id,
            1,
            signed.is_won::integer,
            signed.is_accepted::integer,
            signed.is_delivered::integer,
            signed.response_seconds,
            signed.amount
        FROM (
            SELECT 1 AS sign, fresh.* FROM fresh
            UNION ALL
            SELECT -1, known.* FROM known
        ) AS signed
        INNER JOIN different ON different.historica_id = signed.historica_id
        WHERE signed.local_day <= p_today;
    END IF;

    IF cardinality(p_notificacion_ids) > 0 THEN
        WITH fresh AS MATERIALIZED (
            SELECT recomputed.*
            FROM unnest(p_notificacion_ids) AS changed (notificacion_id)
            INNER JOIN kpi_engine.recomputed_notificacion_facts AS recomputed
                ON recomputed.notificacion_id = changed.notificacion_id
            WHERE recomputed.local_day >= p_today - 29
        ),

        known AS MATERIALIZED (
            SELECT notificacion_facts.*
            FROM unnest(p_notificacion_ids) AS changed (notificacion_id)
            INNER JOIN kpi_engine.notificacion_facts USING (notificacion_id)
        ),

        different AS MATERIALIZED (
            SELECT
                coalesce(fresh.notificacion_id, known.notificacion_id) AS notificacion_id,
                fresh.notificacion_id IS NULL AS is_gone
            FROM fresh
            FULL JOIN known ON known.notificacion_id = fresh.notificacion_id
            WHERE fresh.* IS DISTINCT FROM known.*
        ),

        gone AS (
            DELETE FROM kpi_engine.notificacion_facts
            USING different
            WHERE
                different.is_gone
                AND notificacion_facts.notificacion_id = different.notificacion_id
        ),

        come AS (
            INSERT INTO kpi_engine.notificacion_facts
            SELECT fresh.*
            FROM fresh
            INNER JOIN different ON different.notificacion_id = fresh.notificacion_id
            ON CONFLICT (notificacion_id) DO UPDATE SET
                asesor_id = excluded.asesor_id,
                local_day = excluded.local_day,
                is_answered = excluded.is_answered,
                response_seconds = excluded.response_seconds
        )

        INSERT INTO kpi_engine.changed_asesor_rows (
            sign, asesor_id, notifications, notifications_answered, answer_seconds
        )
        SELECT
            signed.sign,
            signed.asesor_id,
            1,
            signed.is_answered::integer,
            signed.response_seconds
        FROM (
            SELECT 1 AS sign, fresh.* FROM fresh
            UNION ALL
            SELECT -1, known.* FROM known
        ) AS signed
        INNER JOIN different ON different.notificacion_id = signed.notificacion_id
        WHERE signed.local_day <= p_today;
    END IF;

    IF cardinality(p_auditoria_ids) > 0 THEN
        WITH fresh AS MATERIALIZED (
            SELECT recomputed.*
            FROM unnest(p_auditoria_ids) AS changed (auditoria_id)
            INNER JOIN kpi_engine.recomputed_auditoria_facts AS recomputed
                ON recomputed.auditoria_id = changed.auditoria_id
        ),

        known AS MATERIALIZED (
            SELECT auditoria_facts.*
            FROM unnest(p_auditoria_ids) AS changed (auditoria_id)
            INNER JOIN kpi_engine.auditoria_facts USING (auditoria_id)
        ),

        gone AS (
            DELETE FROM kpi_engine.auditoria_facts
            USING known
            WHERE
                auditoria_facts.auditoria_id = known.auditoria_id
                AND known.auditoria_id NOT IN (SELECT fresh.auditoria_id FROM fresh)
        ),

        come AS (
            INSERT INTO kpi_engine.auditoria_facts
            SELECT fresh.* FROM fresh
            ON CONFLICT (auditoria_id) DO UPDATE SET
                asesor_id = excluded.asesor_id,
                local_day = excluded.local_day,
                fecha_revision = excluded.fecha_revision,
                score = excluded.score
        )

        INSERT INTO kpi_engine.changed_asesor_ids (asesor_id)
        SELECT fresh.asesor_id FROM fresh
        UNION
        SELECT known.asesor_id FROM known
        ON CONFLICT (asesor_id) DO NOTHING;
    END IF;

    IF kpi_engine.apply_asesor_rows('', p_today) THEN
        v_changed_tables := v_changed_tables || 'asesor_totals'::text;
    END IF;
    RETURN v_changed_tables;
END;
$apply_asesor_changes$;

COMMENT ON FUNCTION kpi_engine.apply_asesor_changes(date, uuid[], uuid[], uuid[], uuid[], uuid[])
IS
'Moves the advisors'' windows to p_today (not before the day they end with) and recomputes these '
'advisors, users, historical offers, notifications and audits from the source; returns which '
'of asesor_facts and asesor_totals changed. Internal.';

REVOKE ALL ON FUNCTION
kpi_engine.apply_asesor_changes(date, uuid[], uuid[], uuid[], uuid[], uuid[]) FROM public;
