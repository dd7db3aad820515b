-- The catalogue: what each KPI view shows, how to ask for it, and how fresh it is.
--
-- Invariant: only views that the caller may read. All words come from the views' own files. A
-- column is partial if compare has its figure for a part of a period.

CREATE OR REPLACE FUNCTION kpi_engine.kpi_catalogue()
RETURNS json
LANGUAGE sql
STABLE PARALLEL SAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $kpi_catalogue$
    SELECT coalesce(
        json_agg(
            json_build_object(
                'view', kpi_view.view_name,
                'title_es', kpi_view.title_es,
                'title_en', kpi_view.title_en,
                'description_es', kpi_view.description_es,
                'description_en', kpi_view.description_en,
                'key', kpi_view.key_columns,
                'time_column', kpi_view.time_column,
                'grain', kpi_view.grain,
                'dimensions', shown.dimensions,
                'columns', shown.columns,
                'sources', kpi_engine.kpi_sources(kpi_view.relation),
                'last_refresh', kpi_engine.iso_instant(view_state.last_success_at),
                'data_version', view_state.published_version,
                'stale', coalesce(kpi_engine.is_stale(view_state.last_success_at), true),
                'has_history', kpi_engine.has_history(kpi_view.view_name),
                'outside_sources', kpi_engine.outside_freshness(kpi_view.view_name)
            )
            ORDER BY kpi_view.view_name
        ),
        '[]'
    )
    FROM kpi_engine.kpi_views() AS kpi_view
    LEFT JOIN kpi_engine.view_state ON view_state.view_name = kpi_view.view_name
    CROSS JOIN LATERAL kpi_engine.kpi_has_parts(
        kpi_view.relation, kpi_view.time_column
    ) AS parts (can_be_had)
    CROSS JOIN LATERAL (
        SELECT
            coalesce(json_agg(kpi.column_name) FILTER (WHERE kpi.is_dimension), '[]') AS dimensions,
            json_agg(json_build_object(
                'name', kpi.column_name,
                'type', kpi.column_type,
                'unit', kpi.unit,
                'better', kpi.better,
                'bands', kpi_engine.kpi_bands(pg_description.description),
                'label_es', kpi.label_es,
                'label_en', kpi.label_en,
                'description_es', kpi.description_es,
                'description_en', kpi.description_en,
                'partial', kpi.is_number AND NOT kpi.is_whole AND parts.can_be_had
            )) AS columns
        FROM kpi_engine.kpi_columns(kpi_view.relation) AS kpi
        INNER JOIN pg_attribute
            ON pg_attribute.attrelid = kpi_view.relation
            AND pg_attribute.attname = kpi.column_name
        LEFT JOIN pg_description
            ON pg_description.classoid = 'pg_class'::regclass
            AND pg_description.objoid = pg_attribute.attrelid
            AND pg_description.objsubid = pg_attribute.attnum
    ) AS shown
    WHERE coalesce(has_table_privilege(kpi_engine.api_caller(), kpi_view.relation, 'SELECT'), true);
$kpi_catalogue$;

COMMENT ON FUNCTION kpi_engine.kpi_catalogue() IS
'The KPI views that the caller may read, as the HTTP API shows them: a JSON array.';

REVOKE ALL ON FUNCTION kpi_engine.kpi_catalogue() FROM public;
