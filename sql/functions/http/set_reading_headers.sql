-- Sets the headers of a reading answer: how fresh it is, and its ETag.
--
-- Invariant: only this function has their names. JSON and CSV never share an ETag, nor do tokens
-- for other cities. A view that was never refreshed has no instants.

CREATE OR REPLACE FUNCTION kpi_engine.set_reading_headers(
    p_tag text,
    p_version bigint,
    p_calculated_at timestamptz,
    p_refreshed_at timestamptz,
    p_is_stale boolean
)
RETURNS void
LANGUAGE plpgsql
STABLE PARALLEL UNSAFE
SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
AS $set_reading_headers$
BEGIN
    PERFORM set_config('response.headers', json_agg(
        json_build_object(header.name, header.value)
    )::text, true)
    FROM (
        VALUES
        ('Cache-Control', 'private, max-age=0, must-revalidate'),
        ('ETag', format(
            'W/"%s%s%s%s"',
            p_tag,
            '-' || left(md5(kpi_engine.partial_sites()), 8),
            '-' || left(md5(array_to_string(kpi_engine.token_cities(), ',')), 12),
            CASE WHEN kpi_engine.csv_is_wanted() THEN '-csv' END
        )),
        ('X-Data-Version', p_version::text),
        ('X-Calculated-At', kpi_engine.iso_instant(p_calculated_at)),
        ('X-Refreshed-At', kpi_engine.iso_instant(p_refreshed_at)),
        ('X-Stale', p_is_stale::text),
        ('X-Partial', kpi_engine.partial_sites())
    ) AS header (name, value)
    WHERE header.value IS NOT NULL;
END;
$set_reading_headers$;

COMMENT ON FUNCTION kpi_engine.set_reading_headers(
    text, bigint, timestamptz, timestamptz, boolean
) IS
'Sets the headers of a reading answer: Cache-Control, ETag by p_tag, X-Data-Version, '
'X-Calculated-At, X-Refreshed-At, X-Stale, and X-Partial at a hub that lacks news of a site.';

REVOKE ALL ON FUNCTION kpi_engine.set_reading_headers(
    text, bigint, timestamptz, timestamptz, boolean
) FROM public;
