-- Sets the headers of a reading answer: how fresh it is, and its ETag.
--
-- Invariant: only this function has their names. JSON and CSV never share an ETag, nor do tokens
-- for other cities, nor whole and partial figures, nor two states of the code. A view that was
-- never refreshed has no instants.

CREATE OR REPLACE FUNCTION kpi_engine.set_reading_headers(
    p_tag text,
    p_version bigint,
    p_calculated_at timestamptz,
    p_refreshed_at timestamptz,
    p_is_stale boolean,
    p_as_of timestamptz DEFAULT NULL,
    p_is_live boolean DEFAULT false,
    p_at timestamptz DEFAULT NULL,
    p_origen text DEFAULT NULL,
    p_view_name text DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $set_reading_headers$
DECLARE
    v_partial text;
    v_partial_since timestamptz;
BEGIN
    SELECT
        string_agg(
            concat(
                kpi_engine.header_name(lacking.origen),
                CASE WHEN lacking.is_site THEN '=' || kpi_engine.iso_instant(lacking.since) END
            ),
            ', ' ORDER BY lacking.is_site, lacking.origen
        ),
        min(lacking.since) FILTER (WHERE NOT lacking.is_site)
    INTO v_partial, v_partial_since
    FROM (
        SELECT figures.* FROM kpi_engine.partial_figures(true) AS figures WHERE p_is_live
        UNION ALL
        SELECT shown.* FROM kpi_engine.partial_views(p_view_name, p_at) AS shown WHERE NOT p_is_live
    ) AS lacking
    WHERE p_origen IS NULL OR lacking.origen = p_origen;
    PERFORM set_config('response.headers', json_agg(
        json_build_object(header.name, header.value)
    )::text, true)
    FROM (
        VALUES
        (
            'Cache-Control',
            CASE WHEN p_tag IS NOT NULL THEN 'private, max-age=0, must-revalidate' END
        ),
        ('ETag', CASE WHEN p_tag IS NOT NULL THEN format(
            'W/"%s-%s%s%s%s"',
            p_tag,
            -- make migrate writes this row anew with each change of the code.
            (
                SELECT concat(installation.version, '-', installation.xmin)
                FROM kpi_engine.installation
            ),
            CASE
                WHEN v_partial IS NOT NULL
                    THEN '-partial-' || left(md5(concat(v_partial, v_partial_since)), 12)
            END,
            '-' || left(md5(array_to_string(kpi_engine.token_cities(), ',')), 12),
            CASE WHEN kpi_engine.csv_is_wanted() THEN '-csv' END
        ) END),
        ('X-Data-Version', p_version::text),
        ('X-Calculated-At', kpi_engine.iso_instant(p_calculated_at)),
        ('X-Refreshed-At', kpi_engine.iso_instant(p_refreshed_at)),
        ('X-Stale', p_is_stale::text),
        ('X-As-Of', kpi_engine.iso_instant(p_as_of)),
        ('X-Partial', v_partial),
        ('X-Partial-Since', kpi_engine.iso_instant(v_partial_since))
    ) AS header (name, value)
    WHERE header.value IS NOT NULL;
END;
$set_reading_headers$;

COMMENT ON FUNCTION kpi_engine.set_reading_headers(
    text, bigint, timestamptz, timestamptz, boolean, timestamptz, boolean, timestamptz, text, text
) IS
'Sets the headers of a reading answer: Cache-Control and ETag by p_tag (NULL: none), '
'X-Data-Version, X-Calculated-At, X-Refreshed-At, X-Stale, X-As-Of; X-Partial and X-Partial-Since '
'where figures lack rows of an origin or a subscription, or news of a site. p_at: figures of that '
'moment. p_origen: the figures are those of this origin alone. p_view_name: they are those of this '
'view; NULL: of several.';

REVOKE ALL ON FUNCTION kpi_engine.set_reading_headers(
    text, bigint, timestamptz, timestamptz, boolean, timestamptz, boolean, timestamptz, text, text
) FROM public;
