-- What a notification adds to its advisor's totals, from the source.
--
-- Invariant: a row without advisor or date belongs to nothing.

CREATE OR REPLACE VIEW kpi_engine.recomputed_notificacion_facts AS
SELECT
    dated.id AS notificacion_id,
    dated.asesor_id,
    dated.local_day,
    coalesce(dated.respondio, false) AS is_answered,
    CASE
        WHEN dated.respondio THEN dated.tiempo_respuesta_seg::numeric
    END AS response_seconds
FROM (
    SELECT
        src_historial_respuestas_ofertas.*,
        kpi_engine.local_date(
            src_historial_respuestas_ofertas.fecha_envio,
            (SELECT analytics.setting('time_zone'))
        ) AS local_day
    FROM kpi_engine.src_historial_respuestas_ofertas
) AS dated
CROSS JOIN kpi_engine.window_end
WHERE
    dated.asesor_id IS NOT NULL
    AND dated.local_day >= window_end.today - 29;

COMMENT ON VIEW kpi_engine.recomputed_notificacion_facts IS
'Notifications since the start of the 30-day window.';
COMMENT ON COLUMN kpi_engine.recomputed_notificacion_facts.notificacion_id IS
'historial_respuestas_ofertas.id.';
COMMENT ON COLUMN kpi_engine.recomputed_notificacion_facts.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_notificacion_facts.local_day IS
'Local date of fecha_envio.';
COMMENT ON COLUMN kpi_engine.recomputed_notificacion_facts.is_answered IS 'respondio is true.';
COMMENT ON COLUMN kpi_engine.recomputed_notificacion_facts.response_seconds IS
'tiempo_respuesta_seg where it was answered.';

REVOKE ALL ON kpi_engine.recomputed_notificacion_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'notificacion_facts', 'key', ARRAY['notificacion_id'],
    p_source_view => 'src_historial_respuestas_ofertas',
    p_entities => '{"notificacion": "notificacion_id"}',
    p_window_days => ARRAY[30],
    p_indexes => ARRAY['local_day']
);
