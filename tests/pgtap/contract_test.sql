-- The two views as dashboards know them: columns, types, order, keys, comments.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(18);

SELECT columns_are(
    'analytics', 'mv_metricas_mensuales',
    ARRAY[
        'mes', 'solicitudes_creadas', 'solicitudes_aceptadas', 'solicitudes_rechazadas',
        'solicitudes_expiradas', 'solicitudes_sin_ofertas', 'tiempo_promedio_cierre_seg',
        'ofertas_totales', 'ofertas_ganadoras', 'ofertas_aceptadas', 'precio_promedio_ofertas',
        'precio_minimo_ofertas', 'precio_maximo_ofertas', 'tiempo_entrega_promedio',
        'garantia_promedio_meses', 'clientes_activos', 'asesores_activos',
        'marcas_vehiculos_solicitadas', 'volumen_transaccional_total', 'tasa_aceptacion_pct',
        'tasa_conversion_ofertas_pct', 'ofertas_promedio_por_solicitud'
    ]
);
SELECT is(
    (
        SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = 'analytics.mv_metricas_mensuales'::regclass AND attnum > 0
    ),
    'date bigint bigint bigint bigint bigint numeric bigint bigint bigint numeric numeric '
    'numeric numeric numeric bigint bigint bigint numeric numeric numeric numeric',
    'types of mv_metricas_mensuales, in order'
);
SELECT is(
    (
        SELECT string_agg(attname, ' ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = 'analytics.mv_ranking_asesores'::regclass AND attnum > 0
    ),
    'asesor_id asesor_nombre asesor_email ciudad departamento punto_venta confianza nivel_actual '
    'estado_asesor actividad_reciente_pct desempeno_historico_pct ofertas_historicas_total '
    'ofertas_ganadoras ofertas_aceptadas_cliente entregas_exitosas tiempo_promedio_respuesta_seg '
    'monto_promedio_ofertas volumen_total_ofertas confianza_auditada auditorias_realizadas '
    'ultima_auditoria notificaciones_recibidas notificaciones_respondidas '
    'tiempo_promedio_respuesta_notif_seg tasa_respuesta_pct tasa_conversion_ofertas_pct '
    'tasa_exito_completo_pct ranking_ciudad ranking_nacional percentil_ofertas_ganadoras_ciudad '
    'percentil_ofertas_ganadoras_nacional calculado_at',
    'columns of mv_ranking_asesores, in order'
);
SELECT is(
    (
        SELECT string_agg(format_type(atttypid, atttypmod), ' ' ORDER BY attnum)
        FROM pg_attribute
        WHERE attrelid = 'analytics.mv_ranking_asesores'::regclass AND attnum > 0
    ),
    'uuid text text text text text numeric integer text numeric numeric bigint bigint bigint '
    'bigint numeric numeric numeric numeric bigint timestamp with time zone bigint bigint '
    'numeric numeric numeric numeric bigint bigint numeric numeric timestamp with time zone',
    'types of mv_ranking_asesores, in order'
);

SELECT index_is_unique('analytics', 'mv_metricas_mensuales', 'mv_metricas_mensuales_mes');
SELECT index_is_unique('analytics', 'mv_ranking_asesores', 'mv_ranking_asesores_asesor_id');
SELECT is(
    (
        SELECT string_agg(pg_get_indexdef(indexrelid), e'\n' ORDER BY indexrelid::regclass::text)
        FROM pg_index
        WHERE indrelid = 'analytics.mv_ranking_asesores'::regclass AND NOT indisunique
    ),
    'CREATE INDEX mv_ranking_asesores_ciudad ON analytics.mv_ranking_asesores USING btree '
    '(analytics.city_key(ciudad), ranking_ciudad, asesor_id)' || e'\n'
    'CREATE INDEX mv_ranking_asesores_departamento ON analytics.mv_ranking_asesores USING btree '
    '(departamento, ranking_nacional)' || e'\n'
    'CREATE INDEX mv_ranking_asesores_nacional ON analytics.mv_ranking_asesores USING btree '
    '(ranking_nacional, asesor_id)' || e'\n'
    'CREATE INDEX mv_ranking_asesores_ofertas_ganadoras ON analytics.mv_ranking_asesores USING '
    'btree (ofertas_ganadoras DESC, asesor_id)' || e'\n'
    'CREATE INDEX mv_ranking_asesores_tasa_respuesta ON analytics.mv_ranking_asesores USING '
    'btree (tasa_respuesta_pct DESC, asesor_id)',
    'indexes for city, department, rankings, offers won and response rate'
);

SELECT is(
    (
        SELECT string_agg(attname, ' ' ORDER BY attnum)
        FROM unnest((
            SELECT proargnames[2:7] FROM pg_proc
            WHERE oid = 'analytics.refresh_all_mv(boolean)'::regprocedure
        )) WITH ORDINALITY AS argument (attname, attnum)
    ),
    'view_name refresh_status refresh_time_ms error_message rows_affected error_sqlstate',
    'columns of refresh_all_mv()'
);
SELECT is(
    (
        SELECT array_to_string(proargnames, ' ') FROM pg_proc
        WHERE oid = 'analytics.get_mv_stats()'::regprocedure
    ),
    'view_name row_count size_bytes last_refresh is_populated',
    'columns of get_mv_stats()'
);

-- Before the first refresh.
SELECT throws_ok('SELECT count(*) FROM analytics.mv_metricas_mensuales', '55000');
-- An installation may have more views.
CREATE TEMPORARY TABLE shipped AS
SELECT unnest(ARRAY[
    'mv_demanda_ciudades', 'mv_embudo_niveles', 'mv_embudo_operativo', 'mv_finanzas_mensuales',
    'mv_metricas_mensuales', 'mv_retencion_asesores', 'mv_salud_marketplace',
    'mv_segmentos_asesores', 'mv_ranking_asesores'
]) AS view_name;
SELECT results_eq(
    'SELECT view_name, row_count, last_refresh, is_populated FROM analytics.get_mv_stats() '
    'WHERE view_name IN (SELECT shipped.view_name FROM shipped)',
    $$VALUES
    ('mv_demanda_ciudades', NULL::bigint, NULL::timestamptz, false),
    ('mv_embudo_niveles', NULL, NULL, false),
    ('mv_embudo_operativo', NULL, NULL, false),
    ('mv_finanzas_mensuales', NULL, NULL, false),
    ('mv_metricas_mensuales', NULL, NULL, false),
    ('mv_retencion_asesores', NULL, NULL, false),
    ('mv_salud_marketplace', NULL, NULL, false),
    ('mv_segmentos_asesores', NULL, NULL, false),
    ('mv_ranking_asesores', NULL, NULL, false)$$,
    'a view that was never refreshed has no row count, rather than 0'
);
SELECT results_eq(
    'SELECT view_name, refresh_status, rows_affected, error_message, error_sqlstate '
    'FROM analytics.refresh_all_mv() WHERE view_name IN (SELECT shipped.view_name FROM shipped)',
    $$VALUES
    ('mv_demanda_ciudades', 'SUCCESS', 0::bigint, NULL::text, NULL::text),
    ('mv_embudo_niveles', 'SUCCESS', 0, NULL, NULL),
    ('mv_embudo_operativo', 'SUCCESS', 0, NULL, NULL),
    ('mv_finanzas_mensuales', 'SUCCESS', 0, NULL, NULL),
    ('mv_metricas_mensuales', 'SUCCESS', 0, NULL, NULL),
    ('mv_retencion_asesores', 'SUCCESS', 0, NULL, NULL),
    ('mv_salud_marketplace', 'SUCCESS', 0, NULL, NULL),
    ('mv_segmentos_asesores', 'SUCCESS', 0, NULL, NULL),
    ('mv_ranking_asesores', 'SUCCESS', 0, NULL, NULL)$$,
    'the first refresh of an empty source'
);
SELECT is_empty('SELECT 1 FROM analytics.mv_metricas_mensuales', 'no requests, no months');
SELECT throws_ok(
    'SELECT analytics.refresh_all_mv(NULL)', '22004', 'force must be true or false'
);

-- Settings.
SELECT throws_ok(
    $$SELECT analytics.set_setting('schedule_time', '24:00')$$,
    '22023', 'setting schedule_time has no right value'
);
SELECT throws_ok(
    $$UPDATE analytics.settings SET value = 'Bogota' WHERE name = 'time_zone'$$,
    '22023', 'setting time_zone has no right value'
);
SELECT throws_ok(
    $$SELECT analytics.setting('colour')$$, '22023', 'p_name must be the name of a setting'
);
SELECT throws_ok(
    $$SELECT analytics.set_setting('time_zone', NULL)$$, '22004', 'p_value must not be NULL'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
