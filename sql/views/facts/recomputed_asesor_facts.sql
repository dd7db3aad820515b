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
    src_asesores.nivel_actual::integer AS nivel_actual,
    -- Not by local_date(): the age is told for any instant. A zone would take the first and the
    -- last instants out of range. So these are moved by two days, and their date back. There is no
    -- date before 24 November 4714 BC.
    CASE
        WHEN src_asesores.created_at < timestamptz '4713-01-01 00:00:00+00 BC'
            THEN
                greatest(
                    (
                        (src_asesores.created_at + interval '48 hours')
                        AT TIME ZONE (SELECT analytics.setting('time_zone'))
                    )::date,
                    date '4714-11-26 BC'
                ) - 2
        WHEN src_asesores.created_at > timestamptz '294276-12-01 00:00:00+00'
            THEN
                (
                    (src_asesores.created_at - interval '48 hours')
                    AT TIME ZONE (SELECT analytics.setting('time_zone'))
                )::date + 2
        ELSE
            (src_asesores.created_at AT TIME ZONE (SELECT analytics.setting('time_zone')))::date
    END AS registered_on
FROM kpi_engine.src_asesores
LEFT JOIN kpi_engine.src_usuarios ON src_usuarios.id = src_asesores.usuario_id;

COMMENT ON VIEW kpi_engine.recomputed_asesor_facts IS
'One row per advisor: who it is.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.asesor_id IS 'The advisor.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.usuario_id IS 'asesores.usuario_id.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.nombre IS
'nombre and apellido of the user, joined by one space; empty parts are skipped.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.email IS 'usuarios.email.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.has_usuario IS 'Whether the user exists.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.ciudad IS 'City, as stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.ciudad_key IS 'analytics.city_key(ciudad).';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.departamento IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.punto_venta IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.estado IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.confianza IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.actividad_reciente_pct IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.desempeno_historico_pct IS 'As stored.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.nivel_actual IS
'As stored; NULL where the source has no such column.';
COMMENT ON COLUMN kpi_engine.recomputed_asesor_facts.registered_on IS
'Local date of created_at; NULL where it is NULL or infinite.';

REVOKE ALL ON kpi_engine.recomputed_asesor_facts FROM public;

SELECT kpi_engine.declare_derived_table(
    'asesor_facts', 'key', ARRAY['asesor_id'],
    p_source_view => 'src_asesores',
    p_entities => '{"asesor": "asesor_id", "usuario": "usuario_id"}',
    p_indexes => ARRAY['usuario_id']
);
