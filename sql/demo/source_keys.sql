-- Keys and indexes of the operational tables of TeLOO, generation A: see source_schema.sql.
--
-- Plain statements, one after the other: scripts/demo.py shows its progress through them.

ALTER TABLE public.usuarios ADD PRIMARY KEY (id);
ALTER TABLE public.clientes ADD PRIMARY KEY (id);
ALTER TABLE public.asesores ADD PRIMARY KEY (id);
ALTER TABLE public.solicitudes ADD PRIMARY KEY (id);
ALTER TABLE public.repuestos_solicitados ADD PRIMARY KEY (id);
ALTER TABLE public.ofertas ADD PRIMARY KEY (id);
ALTER TABLE public.ofertas_detalle ADD PRIMARY KEY (id);
ALTER TABLE public.adjudicaciones_repuesto ADD PRIMARY KEY (id);
ALTER TABLE public.ofertas_historicas ADD PRIMARY KEY (id);
ALTER TABLE public.historial_respuestas_ofertas ADD PRIMARY KEY (id);
ALTER TABLE public.auditorias_tiendas ADD PRIMARY KEY (id);
ALTER TABLE public.usuarios ADD UNIQUE (email);
ALTER TABLE public.clientes ADD UNIQUE (usuario_id);
ALTER TABLE public.asesores ADD UNIQUE (usuario_id);
ALTER TABLE public.ofertas_detalle ADD UNIQUE (oferta_id, repuesto_solicitado_id);
ALTER TABLE public.adjudicaciones_repuesto ADD UNIQUE (solicitud_id, repuesto_solicitado_id);
ALTER TABLE public.clientes ADD FOREIGN KEY (usuario_id)
REFERENCES public.usuarios (id) ON DELETE CASCADE;
ALTER TABLE public.asesores ADD FOREIGN KEY (usuario_id)
REFERENCES public.usuarios (id) ON DELETE CASCADE;
ALTER TABLE public.solicitudes ADD FOREIGN KEY (cliente_id)
REFERENCES public.clientes (id) ON DELETE CASCADE;
ALTER TABLE public.repuestos_solicitados ADD FOREIGN KEY (solicitud_id)
REFERENCES public.solicitudes (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas ADD FOREIGN KEY (solicitud_id)
REFERENCES public.solicitudes (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas ADD FOREIGN KEY (asesor_id)
REFERENCES public.asesores (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas_detalle ADD FOREIGN KEY (oferta_id)
REFERENCES public.ofertas (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas_detalle ADD FOREIGN KEY (repuesto_solicitado_id)
REFERENCES public.repuestos_solicitados (id) ON DELETE CASCADE;
ALTER TABLE public.adjudicaciones_repuesto ADD FOREIGN KEY (solicitud_id)
REFERENCES public.solicitudes (id) ON DELETE CASCADE;
ALTER TABLE public.adjudicaciones_repuesto ADD FOREIGN KEY (oferta_id)
REFERENCES public.ofertas (id) ON DELETE CASCADE;
ALTER TABLE public.adjudicaciones_repuesto ADD FOREIGN KEY (repuesto_solicitado_id)
REFERENCES public.repuestos_solicitados (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas_historicas ADD FOREIGN KEY (asesor_id)
REFERENCES public.asesores (id) ON DELETE CASCADE;
ALTER TABLE public.ofertas_historicas ADD FOREIGN KEY (solicitud_id)
REFERENCES public.solicitudes (id) ON DELETE CASCADE;
ALTER TABLE public.historial_respuestas_ofertas ADD FOREIGN KEY (asesor_id)
REFERENCES public.asesores (id) ON DELETE CASCADE;
ALTER TABLE public.historial_respuestas_ofertas ADD FOREIGN KEY (solicitud_id)
REFERENCES public.solicitudes (id) ON DELETE CASCADE;
ALTER TABLE public.auditorias_tiendas ADD FOREIGN KEY (asesor_id)
REFERENCES public.asesores (id) ON DELETE CASCADE;
ALTER TABLE public.auditorias_tiendas ADD FOREIGN KEY (auditor_id)
REFERENCES public.usuarios (id) ON DELETE SET NULL;

-- As the ORM's models declare them: not every foreign key, not every date.
CREATE INDEX ON public.solicitudes (cliente_id);
CREATE INDEX ON public.solicitudes (estado);
CREATE INDEX ON public.solicitudes (created_at);
CREATE INDEX ON public.repuestos_solicitados (solicitud_id);
CREATE INDEX ON public.ofertas (solicitud_id);
CREATE INDEX ON public.ofertas (asesor_id);
CREATE INDEX ON public.adjudicaciones_repuesto (oferta_id);
CREATE INDEX ON public.ofertas_historicas (asesor_id, fecha);
CREATE INDEX ON public.historial_respuestas_ofertas (asesor_id, fecha_envio);
CREATE INDEX ON public.auditorias_tiendas (asesor_id);
