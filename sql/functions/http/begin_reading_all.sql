-- Sets the headers of a reading answer about all views.
--
-- Invariant: they are the headers of the least fresh view, so nothing in the answer is older.

CREATE OR REPLACE FUNCTION kpi_engine.begin_reading_all(p_tag text)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $begin_reading_all$
DECLARE
    v_oldest record;
BEGIN
    SELECT
        view_state.*,
        bool_or(coalesce(kpi_engine.is_stale(view_state.last_success_at), true)) OVER () AS is_stale
    INTO v_oldest
    FROM pg_class
    LEFT JOIN kpi_engine.view_state ON view_state.view_name = pg_class.relname
    WHERE pg_class.relkind = 'm' AND pg_class.relnamespace = 'analytics'::regnamespace
    ORDER BY
        view_state.last_success_at ASC NULLS FIRST,
        view_state.calculated_at ASC NULLS FIRST,
        pg_class.relname ASC
    LIMIT 1;
    PERFORM kpi_engine.set_reading_headers(
        p_tag || CASE WHEN coalesce(v_oldest.is_stale, true) THEN '-stale' ELSE '' END,
        v_oldest.published_version, v_oldest.calculated_at, v_oldest.last_success_at,
        coalesce(v_oldest.is_stale, true)
    );
END;
$begin_reading_all$;

COMMENT ON FUNCTION kpi_engine.begin_reading_all(text) IS
'Headers of a reading answer about all views: ETag by p_tag, the others those of the least fresh '
'view; X-Stale where any view is.';

REVOKE ALL ON FUNCTION kpi_engine.begin_reading_all(text) FROM public;
