-- Checks the KPI views, puts them in their places, writes their views of schema api.
--
-- Last, since readers of a view that changed wait from here to the COMMIT.

CREATE FUNCTION pg_temp.release_finish_views()
RETURNS void
LANGUAGE plpgsql
AS $release_finish_views$
DECLARE
    v_problem record;
BEGIN
    FOR v_problem IN
        SELECT release_files.file, problems.problem, problems.right_form
        FROM pg_temp.release_files
        CROSS JOIN LATERAL kpi_engine.kpi_problems(format(
            '%I.%I',
            CASE
                WHEN EXISTS (
                    SELECT FROM pg_temp.release_waiting
                    WHERE release_waiting.name = release_files.name AND release_waiting.is_staged
                ) THEN 'analytics_staging'
                ELSE 'analytics'
            END,
            release_files.name
        )::regclass) AS problems
        WHERE
            release_files.kind = 'materialized view' AND starts_with(release_files.name, 'mv_')
        LIMIT 1
    LOOP
        RAISE EXCEPTION 'sql/%: %; nothing was changed', v_problem.file, v_problem.problem
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = v_problem.right_form;
    END LOOP;

    INSERT INTO pg_temp.release_changes (change)
    SELECT format('built index %s anew', built.index_name)
    FROM unnest(kpi_engine.reindex_functions(ARRAY(
        SELECT changed.name FROM pg_temp.release_changed_functions AS changed
    ))) AS built (index_name);

    PERFORM pg_temp.release_swap();

    INSERT INTO pg_temp.release_files
        (place, name, kind, contents, checksum, text_checksum, named)
    SELECT
        200000 + row_number() OVER (ORDER BY written.name),
        'api.' || written.name,
        'api view',
        written.contents,
        encode(
            sha256(convert_to(pg_temp.release_code(written.contents), 'UTF8')), 'hex'
        ),
        encode(sha256(convert_to(written.contents, 'UTF8')), 'hex'),
        -- As SqlFile.references() has them; one too many would only write the view again.
        ARRAY(
            SELECT DISTINCT coalesce(found.names[1], found.names[2])
            FROM regexp_matches(
                written.contents, '\m(?:analytics\.(\w+)|(kpi_engine\.\w+))', 'g'
            ) AS found (names)
        )
    FROM (
        SELECT
            pg_class.relname AS name,
            kpi_engine.kpi_api_view(pg_class.oid) AS contents
        FROM pg_class
        INNER JOIN pg_temp.release_files
            ON release_files.name = pg_class.relname
            AND release_files.kind = 'materialized view'
        WHERE
            pg_class.relkind = 'm'
            AND pg_class.relnamespace = 'analytics'::regnamespace
            AND starts_with(pg_class.relname, 'mv_')
    ) AS written;
    PERFORM pg_temp.release_apply_all(false, ARRAY['api view']);
END;
$release_finish_views$;
