-- Bands: what a COMMENT of a column declares, and which KPIs declare one.

BEGIN;
SET LOCAL search_path = public, pg_temp;
SELECT plan(6);

SELECT is(
    kpi_engine.kpi_bands(E'Tasa [pct, up, null, bands 50 over 70.5]\nes: x\nen: y')::jsonb,
    '{"bad_below": 50, "good_above": 70.5, "good_from": null, "good_to": null, "bad_above": null}',
    'over: the bound itself is not good'
);
SELECT is(
    kpi_engine.kpi_bands(E'Densidad [razon, up, bands 2 from 3]\nes: x\nen: y')::jsonb,
    '{"bad_below": 2, "good_above": null, "good_from": 3, "good_to": null, "bad_above": null}',
    'from: the bound itself is good'
);
SELECT is(
    kpi_engine.kpi_bands(E'Ratio [razon, none, bands 10 15 25 30]\nes: x\nen: y')::jsonb,
    '{"bad_below": 10, "good_above": null, "good_from": 15, "good_to": 25, "bad_above": 30}',
    'four numbers: too much is bad, too'
);
SELECT is(
    kpi_engine.kpi_bands(E'Tasa [pct, up, bands 50 70]\nes: x\nen: y')::text, NULL,
    'another form is none'
);
SELECT is(
    kpi_engine.kpi_bands(E'Tasa [pct, up]\nes: x\nen: y')::text, NULL, 'no word, no bands'
);
SELECT set_eq(
    $$
        SELECT kpi_columns ->> 'name'
        FROM json_array_elements(kpi_engine.kpi_catalogue()) AS kpis
        CROSS JOIN json_array_elements(kpis -> 'columns') AS kpi_columns
        WHERE json_typeof(kpi_columns -> 'bands') = 'object'
    $$,
    ARRAY[
        'ratio_oferta_demanda', 'densidad_ofertas', 'tasa_participacion_pct',
        'tasa_adjudicacion_promedio_pct', 'tasa_aceptacion_cliente_pct',
        'conversion_aceptacion_pct', 'tasa_respuesta_pct', 'tasa_retencion_pct'
    ],
    'the KPIs that have bands'
);

SELECT * FROM finish(); -- noqa: AM04
ROLLBACK;
