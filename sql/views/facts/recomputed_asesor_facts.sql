-- Who each advisor is, from the source at this moment.
--
-- Invariant: one row per advisor, also those who are not active or have no user, so that
-- a change of their user finds them.

CREATE OR REPLACE VIEW kpi_engine.recomputed_asesor_facts AS
SELECT
    src_asesores.id AS asesor_id,
    src_asesores.usuario_id,
    concat_ws(
        ' ', nullif(src_usuarios.nombre, ''), nullif(src_usuarios.apellido, '')
    ) AS nombre,
    src_usuarios.email,
    src_usuarios.id IS NOT NULL AS has_usuario,
    src_asesores.ciudad,
    analytics.city_key(src_asesores.ciudad) AS ciudad_key,
    src_asesores.departamento,
    src_asesores.punto_venta,
    src_asesores.estado,
    src_asesores.confianza,
    src_asesores.actividad_reciente_pct,
    src_asesores.desempeno_historico_pct,
    src_asesores.nivel_actual::integer AS nivel_actual
FROM kpi_engine.src_asesores
LEFT JOIN kpi_engine.src_usuarios ON src_usuarios.id = src_asesores.usuario_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_facts IS
'kpi_engine.asesor_facts computed from the source tables at this moment.';

REVOKE ALL ON kpi_engine.recomputed_asesor_facts FROM public;
