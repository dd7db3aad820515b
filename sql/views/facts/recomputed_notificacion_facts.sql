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
WHERE
    dated.asesor_id IS NOT NULL
    AND dated.local_day IS NOT NULL;

COMMENT ON VIEW kpi_engine.recomputed_notificacion_facts IS
'kpi_engine.notificacion_facts of all time, computed from the source table at this moment.';

REVOKE ALL ON kpi_engine.recomputed_notificacion_facts FROM public;
