-- Each KPI view declares itself in its COMMENTs: whole, and in the words of the business.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(24);

SELECT is_empty(
    $$SELECT view_name, problem FROM kpi_engine.materialized_views()
    CROSS JOIN LATERAL kpi_engine.kpi_problems(relation)$$,
    'every view has a key, and COMMENTs of the right form on itself and each column'
);
SELECT set_eq(
    'SELECT view_name FROM kpi_engine.materialized_views()',
    'SELECT view_name FROM kpi_engine.kpi_views()',
    'every view is in the catalogue'
);
SELECT results_eq(
    $$SELECT view_name, title_es, key_columns, time_column, grain FROM kpi_engine.kpi_views()
    WHERE view_name IN ('mv_metricas_mensuales', 'mv_ranking_asesores')$$,
    $$VALUES
    ('mv_metricas_mensuales', 'Métricas mensuales', '{mes}'::text[], 'mes', 'month'),
    ('mv_ranking_asesores', 'Ranking de asesores', '{asesor_id}', NULL, 'advisor')$$,
    'titles, keys and grains'
);
-- As the business says it: shared words, units and directions.
SELECT results_eq(
    $$SELECT kpi.view_name, column_name, label_es, unit, better FROM kpi_engine.kpi_views() AS kpi
    CROSS JOIN LATERAL kpi_engine.kpi_columns(kpi.relation)
    WHERE kpi.view_name IN ('mv_metricas_mensuales', 'mv_ranking_asesores')$$,
    $$VALUES
    ('mv_metricas_mensuales', 'mes', 'Mes', 'fecha', 'none'),
    ('mv_metricas_mensuales', 'solicitudes_creadas', 'Solicitudes creadas', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'solicitudes_aceptadas', 'Solicitudes aceptadas', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'solicitudes_rechazadas', 'Solicitudes rechazadas', 'conteo', 'down'),
    ('mv_metricas_mensuales', 'solicitudes_expiradas',
     'Solicitudes expiradas (incluye las cerradas sin ofertas)', 'conteo', 'down'),
    ('mv_metricas_mensuales', 'solicitudes_sin_ofertas',
     'Solicitudes cerradas sin ofertas', 'conteo', 'down'),
    ('mv_metricas_mensuales', 'tiempo_promedio_cierre_seg',
     'Tiempo promedio de cierre', 'segundos', 'down'),
    ('mv_metricas_mensuales', 'ofertas_totales', 'Ofertas', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'ofertas_ganadoras',
     'Ofertas ganadoras (alguna vez seleccionadas)', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'ofertas_aceptadas',
     'Ofertas aceptadas por el cliente', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'precio_promedio_ofertas',
     'Precio promedio por repuesto', 'COP', 'none'),
    ('mv_metricas_mensuales', 'precio_minimo_ofertas', 'Precio mínimo por repuesto', 'COP', 'none'),
    ('mv_metricas_mensuales', 'precio_maximo_ofertas', 'Precio máximo por repuesto', 'COP', 'none'),
    ('mv_metricas_mensuales', 'tiempo_entrega_promedio',
     'Entrega prometida, promedio', 'dias', 'down'),
    ('mv_metricas_mensuales', 'garantia_promedio_meses', 'Garantía promedio', 'meses', 'up'),
    ('mv_metricas_mensuales', 'clientes_activos', 'Clientes activos', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'asesores_activos',
     'Asesores activos (con al menos una oferta)', 'conteo', 'up'),
    ('mv_metricas_mensuales', 'marcas_vehiculos_solicitadas',
     'Marcas de vehículo solicitadas', 'conteo', 'none'),
    ('mv_metricas_mensuales', 'volumen_transaccional_total',
     'Volumen transaccional (ofertas aceptadas completas)', 'COP', 'up'),
    ('mv_metricas_mensuales', 'tasa_aceptacion_pct', 'Tasa de aceptación', 'pct', 'up'),
    ('mv_metricas_mensuales', 'tasa_conversion_ofertas_pct', 'Ofertas que ganan', 'pct', 'up'),
    ('mv_metricas_mensuales', 'ofertas_promedio_por_solicitud',
     'Ofertas por solicitud', 'razon', 'up'),
    ('mv_ranking_asesores', 'asesor_id', 'Identificador del asesor', 'texto', 'none'),
    ('mv_ranking_asesores', 'asesor_nombre', 'Asesor', 'texto', 'none'),
    ('mv_ranking_asesores', 'asesor_email', 'Correo', 'texto', 'none'),
    ('mv_ranking_asesores', 'ciudad', 'Ciudad', 'texto', 'none'),
    ('mv_ranking_asesores', 'departamento', 'Departamento', 'texto', 'none'),
    ('mv_ranking_asesores', 'punto_venta', 'Punto de venta', 'texto', 'none'),
    ('mv_ranking_asesores', 'confianza', 'Confianza', 'razon', 'up'),
    ('mv_ranking_asesores', 'nivel_actual', 'Nivel del asesor', 'conteo', 'none'),
    ('mv_ranking_asesores', 'estado_asesor', 'Estado', 'texto', 'none'),
    ('mv_ranking_asesores', 'actividad_reciente_pct', 'Actividad reciente', 'pct', 'up'),
    ('mv_ranking_asesores', 'desempeno_historico_pct', 'Desempeño histórico', 'pct', 'up'),
    ('mv_ranking_asesores', 'ofertas_historicas_total',
     'Ofertas en los últimos 30 días', 'conteo', 'up'),
    ('mv_ranking_asesores', 'ofertas_ganadoras',
     'Ofertas ganadoras en los últimos 30 días', 'conteo', 'up'),
    ('mv_ranking_asesores', 'ofertas_aceptadas_cliente',
     'Aceptadas por el cliente, 30 días', 'conteo', 'up'),
    ('mv_ranking_asesores', 'entregas_exitosas', 'Entregas exitosas, 30 días', 'conteo', 'up'),
    ('mv_ranking_asesores', 'tiempo_promedio_respuesta_seg',
     'Tiempo promedio de respuesta con oferta', 'segundos', 'down'),
    ('mv_ranking_asesores', 'monto_promedio_ofertas',
     'Monto promedio de sus ofertas, 30 días', 'COP', 'up'),
    ('mv_ranking_asesores', 'volumen_total_ofertas',
     'Monto total de sus ofertas, 30 días', 'COP', 'up'),
    ('mv_ranking_asesores', 'confianza_auditada',
     'Confianza auditada (últimos 90 días)', 'razon', 'up'),
    ('mv_ranking_asesores', 'auditorias_realizadas', 'Auditorías (90 días)', 'conteo', 'none'),
    ('mv_ranking_asesores', 'ultima_auditoria', 'Última auditoría', 'instante', 'none'),
    ('mv_ranking_asesores', 'notificaciones_recibidas',
     'Notificaciones recibidas (30 días)', 'conteo', 'up'),
    ('mv_ranking_asesores', 'notificaciones_respondidas',
     'Notificaciones respondidas (30 días)', 'conteo', 'up'),
    ('mv_ranking_asesores', 'tiempo_promedio_respuesta_notif_seg',
     'Tiempo promedio de respuesta a notificaciones', 'segundos', 'down'),
    ('mv_ranking_asesores', 'tasa_respuesta_pct', 'Tasa de respuesta', 'pct', 'up'),
    ('mv_ranking_asesores', 'tasa_conversion_ofertas_pct',
     'Ofertas que ganan, 30 días', 'pct', 'up'),
    ('mv_ranking_asesores', 'tasa_exito_completo_pct',
     'Éxito completo (ganada, aceptada y entregada)', 'pct', 'up'),
    ('mv_ranking_asesores', 'ranking_ciudad', 'Puesto en su ciudad', 'conteo', 'down'),
    ('mv_ranking_asesores', 'ranking_nacional', 'Puesto nacional', 'conteo', 'down'),
    ('mv_ranking_asesores', 'percentil_ofertas_ganadoras_ciudad',
     'Percentil en su ciudad', 'pct', 'up'),
    ('mv_ranking_asesores', 'percentil_ofertas_ganadoras_nacional',
     'Percentil nacional', 'pct', 'up'),
    ('mv_ranking_asesores', 'calculado_at', 'Calculado', 'instante', 'none')$$,
    'labels, units and directions of every column'
);
SELECT results_eq(
    $$SELECT column_name FROM kpi_engine.kpi_columns('analytics.mv_ranking_asesores')
    WHERE is_dimension$$,
    $$VALUES ('asesor_id'), ('ciudad'), ('departamento')$$,
    'a view is filtered by its key and by what its file calls a dimension or a city'
);
SELECT results_eq(
    $$SELECT column_name FROM kpi_engine.kpi_columns('analytics.mv_metricas_mensuales')
    WHERE over_nothing IS NULL$$,
    $$VALUES ('mes'), ('tiempo_promedio_cierre_seg'), ('precio_promedio_ofertas'),
    ('precio_minimo_ofertas'), ('precio_maximo_ofertas'), ('tiempo_entrega_promedio'),
    ('garantia_promedio_meses')$$,
    'averages, minimums and maximums are NULL over nothing, all else is 0'
);
SELECT is(
    kpi_engine.kpi_sources('analytics.mv_metricas_mensuales'),
    '{adjudicaciones_repuesto, ofertas, ofertas_detalle, repuestos_solicitados, solicitudes}',
    'operational tables behind the months'
);
SELECT is(
    kpi_engine.kpi_sources('analytics.mv_ranking_asesores'),
    '{asesores, auditorias_tiendas, historial_respuestas_ofertas, ofertas_historicas, usuarios}',
    'operational tables behind the ranking'
);

SELECT results_eq(
    $$SELECT * FROM kpi_engine.kpi_comment(
        E'Tasa (90 días) [pct, up, null]\nes: De cada 100:\ncuántas.\nen: 100 × a / b; 0.'
    )$$,
    $$VALUES (
        'Tasa (90 días)', NULL, '{pct, up, "null"}'::text[], 'De cada 100: cuántas.',
        '100 × a / b; 0.'
    )$$,
    'a COMMENT is read: name, words, descriptions of several lines'
);
SELECT results_eq(
    $$SELECT name_es, name_en, words
    FROM kpi_engine.kpi_comment(E'Meses / Months\nes: Uno.\nen: One.')$$,
    $$VALUES ('Meses', 'Months', NULL::text[])$$,
    'of a view, too'
);
SELECT results_eq(
    $$SELECT name_es, name_en, words
    FROM kpi_engine.kpi_comment(E'Uno\n/ One (1) [pct, up]\nes: Uno / dos.\nen: One / two.')$$,
    $$VALUES ('Uno', 'One (1)', '{pct, up}'::text[])$$,
    'the English name may have a line of its own'
);
SELECT is_empty(
    $$SELECT comment.* FROM (VALUES
        (NULL), (''), ('Requests.'), (E'Mes [fecha, none]\nes: Mes.'),
        (E'Mes [fecha, none]\nen: Month.'),
        (E'Mes [fecha, none]\nen: Month.\nes: Mes.'), (E'Mes [fecha, none]\nes:\nen: Month.'),
        (E'Mes [fecha none]]\nes: Mes.\nen: Month.'), (E'[fecha, none]\nes: Mes.\nen: Month.'),
        (E' Mes [fecha, none]\nes: Mes.\nen: Month.'), (E'Mes []\nes: Mes.\nen: Month.'),
        (E'Mes\nMonth [fecha, none]\nes: Mes.\nen: Month.'),
        (E'Mes\n/ Month\n/ Mois [fecha, none]\nes: Mes.\nen: Month.')
    ) AS malformed (text)
    CROSS JOIN LATERAL kpi_engine.kpi_comment(malformed.text) AS comment$$,
    'another form is none'
);

-- What is refused, one fault after the other.
CREATE MATERIALIZED VIEW public.mv_prueba AS
SELECT
    date '2026-11-01' AS mes,
    date '2026-11-28' AS otra,
    1.5 AS tasa,
    'x'::text AS "limit";
GRANT SELECT ON public.mv_prueba TO analytics_lector, analytics_operador;
CREATE FUNCTION pg_temp.problems() RETURNS SETOF text LANGUAGE sql
AS $$SELECT problem FROM kpi_engine.kpi_problems('public.mv_prueba')$$;

SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('mv_prueba has no plain unique index, and so no key'), ('mv_prueba has no COMMENT'),
    ('column mes of mv_prueba has no COMMENT'), ('column otra of mv_prueba has no COMMENT'),
    ('column tasa of mv_prueba has no COMMENT'), ('column limit of mv_prueba has no COMMENT')$$,
    'a view without anything'
);
CREATE UNIQUE INDEX ON public.mv_prueba (mes);
COMMENT ON MATERIALIZED VIEW public.mv_prueba IS E'Prueba\nes: Una.\nen: One.';
COMMENT ON COLUMN public.mv_prueba.mes IS E'Mes [fecha, none]\nes: Mes.\nen: Month.';
COMMENT ON COLUMN public.mv_prueba.otra IS E'Otra [date, none]\nes: Otra.\nen: Other.';
COMMENT ON COLUMN public.mv_prueba.tasa IS E'Tasa [pct, good]\nes: Tasa.\nen: Rate.';
COMMENT ON COLUMN public.mv_prueba."limit" IS
E'Límite [texto, none, filter]\nes: Límite.\nen: Limit.';
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('mv_prueba has a COMMENT of another form'),
    ('column otra of mv_prueba has a COMMENT of another form'),
    ('column tasa of mv_prueba has a COMMENT of another form'),
    ('column limit of mv_prueba has a COMMENT of another form')$$,
    'a title in one language, an unknown unit, direction and word'
);
SELECT matches(
    (
        SELECT right_form FROM kpi_engine.kpi_problems('public.mv_prueba')
        WHERE problem LIKE '%tasa%'
    ),
    E'^COMMENT ON COLUMN mv_prueba\\.tasa IS\n.*\\[conteo, up\\]\nes: .*\nen: .*pct',
    'the right form is told'
);
COMMENT ON MATERIALIZED VIEW public.mv_prueba IS E'Prueba / Test\nes: Una.\nen: One.';
COMMENT ON COLUMN public.mv_prueba.otra IS E'Otra [fecha, none]\nes: Otra.\nen: Other.';
COMMENT ON COLUMN public.mv_prueba.tasa IS E'Tasa [pct, up, dimension]\nes: Tasa.\nen: Rate.';
COMMENT ON COLUMN public.mv_prueba."limit" IS
E'Límite [texto, none, dimension]\nes: Límite.\nen: Limit.';
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('column tasa of mv_prueba is a dimension of type numeric'),
    ('column limit of mv_prueba is a dimension, and a parameter of all KPIs')$$,
    'a dimension that nobody could ask for'
);
COMMENT ON COLUMN public.mv_prueba.tasa IS E'Tasa [pct, up]\nes: Tasa.\nen: Rate.';
COMMENT ON COLUMN public.mv_prueba."limit" IS
E'Límite [texto, none]\nes: Límite.\nen: Limit.';
SELECT is_empty('SELECT pg_temp.problems()', 'a view that is right');
COMMENT ON COLUMN public.mv_prueba."limit" IS
E'Límite [texto, none, whole]\nes: Límite.\nen: Limit.';
ALTER MATERIALIZED VIEW public.mv_prueba
RENAME COLUMN otra TO tasa_anterior;
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('column tasa_anterior of mv_prueba has a name that compare gives to another column'),
    ('column limit of mv_prueba is whole, but no number')$$,
    'a name that compare needs, and a text that is whole'
);
COMMENT ON COLUMN public.mv_prueba."limit" IS E'Límite [texto, none]\nes: Límite.\nen: Limit.';
ALTER MATERIALIZED VIEW public.mv_prueba RENAME COLUMN tasa_anterior TO kpi;
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('column kpi of mv_prueba has a name that statements give to its rows')$$,
    'a name by which an answer would have this column alone'
);
ALTER MATERIALIZED VIEW public.mv_prueba RENAME COLUMN kpi TO otra;
ALTER MATERIALIZED VIEW public.mv_prueba
RENAME COLUMN tasa TO tasa_de_aceptacion_de_las_solicitudes_de_los_talleres_pct;
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('column tasa_de_aceptacion_de_las_solicitudes_de_los_talleres_pct of mv_prueba '
    'has a name that is too long for compare')$$,
    'a name to which compare can add nothing'
);
ALTER MATERIALIZED VIEW public.mv_prueba
RENAME COLUMN tasa_de_aceptacion_de_las_solicitudes_de_los_talleres_pct TO tasa;
DROP INDEX public.mv_prueba_mes_idx;
CREATE UNIQUE INDEX ON public.mv_prueba (mes, otra);
SELECT results_eq(
    'SELECT pg_temp.problems()',
    $$VALUES ('the key of mv_prueba has the date mes and the date otra')$$,
    'a key with two dates'
);
DROP INDEX public.mv_prueba_mes_otra_idx;
CREATE UNIQUE INDEX ON public.mv_prueba (otra);
SELECT results_eq(
    'SELECT pg_temp.problems()', $$VALUES ('the key of mv_prueba has the date otra')$$,
    'a date whose name says nothing of its grain'
);

CREATE MATERIALIZED VIEW public.mv_reloj AS
SELECT
    date_trunc('month', current_date)::date AS mes,
    3::bigint AS format,
    7::bigint AS nombre,
    count(*) AS meses
FROM analytics.v_metricas_mensuales_tiempo_real;
CREATE UNIQUE INDEX ON public.mv_reloj (mes, format);
COMMENT ON MATERIALIZED VIEW public.mv_reloj IS E'Reloj / Clock\nes: Un reloj.\nen: A clock.';
COMMENT ON COLUMN public.mv_reloj.mes IS E'Mes [fecha, none]\nes: Mes.\nen: Month.';
COMMENT ON COLUMN public.mv_reloj.format IS E'Formato [conteo, none]\nes: Forma.\nen: Form.';
COMMENT ON COLUMN public.mv_reloj.nombre IS E'Nombre [texto, none]\nes: Nombre.\nen: Name.';
COMMENT ON COLUMN public.mv_reloj.meses IS
E'Meses [conteo, none, sum mv_metricas_30.mes_2]\nes: Meses.\nen: Months.';
SELECT set_eq(
    $$SELECT problem FROM kpi_engine.kpi_problems('public.mv_reloj')$$,
    $$VALUES ('column format of mv_reloj is a dimension, and a parameter of all KPIs'),
    ('column nombre of mv_reloj has the unit texto and the type bigint'),
    ('nobody but the owner may read mv_reloj'),
    ('mv_reloj reads the clock (CURRENT_DATE)'),
    ('mv_reloj calls analytics.rows_now(text) in analytics.v_metricas_mensuales_tiempo_real, which '
    'is not IMMUTABLE: a change of what it reads would refresh nothing'),
    ('column meses of mv_reloj says sum mv_metricas_30.mes_2, and there is no such column')$$,
    'a text that is a number, a reader without a right, the clock, a parameter of the gateway, a '
    'view of this moment, a sum of nothing'
);

-- A rebuild empties one set of a derived table, and a refresh the work table.
CREATE VIEW public.v_conjunto AS SELECT month_totals_b.mes FROM kpi_engine.month_totals_b;
CREATE MATERIALIZED VIEW public.mv_conjunto AS
SELECT month_totals_a.mes
FROM kpi_engine.month_totals_a
INNER JOIN kpi_engine.month_totals ON month_totals.mes = month_totals_a.mes
INNER JOIN kpi_engine.changed_day_totals ON changed_day_totals.dia = month_totals_a.mes
INNER JOIN public.v_conjunto ON v_conjunto.mes = month_totals_a.mes
WITH NO DATA;
CREATE UNIQUE INDEX ON public.mv_conjunto (mes);
COMMENT ON MATERIALIZED VIEW public.mv_conjunto IS E'Conjunto / Set\nes: Uno.\nen: One.';
COMMENT ON COLUMN public.mv_conjunto.mes IS E'Mes [fecha, none]\nes: Mes.\nen: Month.';
GRANT SELECT ON public.mv_conjunto TO analytics_lector;
SELECT set_eq(
    $$SELECT problem, right_form FROM kpi_engine.kpi_problems('public.mv_conjunto')$$,
    $$VALUES (
        'mv_conjunto reads kpi_engine.month_totals_a, a table behind derived table month_totals: '
        'a rebuild may leave it empty',
        'Read kpi_engine.month_totals.'
    ), (
        'mv_conjunto reads kpi_engine.changed_day_totals, a table behind derived table day_totals: '
        'a rebuild may leave it empty',
        'Read kpi_engine.day_totals.'
    ), (
        'mv_conjunto reads kpi_engine.month_totals_b through view public.v_conjunto, a table behind '
        'derived table month_totals: a rebuild may leave it empty',
        'Read kpi_engine.month_totals.'
    )$$,
    'a set of a derived table, its work table, and a set behind a view'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
