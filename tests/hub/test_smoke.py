from conftest import Server, fresh_database
from contextlib import contextmanager
import sites, sequences
from datetime import date
from marketplace import fill, SMALL

NOW="2026-11-23 12:00:00-05"
def test_it(system_server):
    make = contextmanager(fresh_database)
    with make(system_server) as hub, make(system_server) as one:
        sites.make_site(one)
        with one.connect() as c:
            fill(c, 5, "A", date(2026,11,23), size=SMALL)
        print(sequences.refresh(one, NOW))
        sites.make_hub(hub)
        sites.add_site(hub, "one", one)
        print(sequences.refresh(hub, NOW))
        print(hub.rows("SELECT * FROM analytics.hub_sites"))
        print(hub.rows("SELECT count(*), max(today) FROM kpi_engine.solicitud_facts, kpi_engine.engine_state"))
        a=hub.rows("SELECT to_jsonb(m) - 'calculado_at' FROM mv_metricas_mensuales m ORDER BY 1")
        b=one.rows("SELECT to_jsonb(m) - 'calculado_at' FROM mv_metricas_mensuales m ORDER BY 1")
        assert a==b and a
        print(hub.rows("SELECT problem, message FROM analytics.health_problems()"))
        print(hub.rows("SELECT * FROM analytics.doctor()"))
