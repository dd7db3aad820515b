-- What the demo data is made of: Colombian cities, vehicles sold there, parts, names.
--
-- A weighted choice is a join: each item holds as many of the slots 0 to 4999 as its
-- weight says, and a row draws one slot.

CREATE TEMPORARY TABLE demo_nombres AS
SELECT
    '{Carlos,María,Juan,Luz,Andrés,Sandra,Jorge,Diana,Luis,Claudia,Camilo,Paola,Óscar,Martha,
    Fernando,Adriana,Julián,Ángela,Wilson,Yolanda,Hernán,Carolina,Édgar,Natalia,Diego,Gloria,
    Mauricio,Liliana,Jaime,Mónica,Felipe,Blanca,Iván,Viviana,Rodrigo,Patricia,Sebastián,Rocío,
    Germán,Catalina,Álvaro,Johana,Nelson,Marcela,Fabián,Esperanza,Gustavo,Tatiana}'::text[]
        AS nombres,
    '{Rodríguez,Gómez,González,Martínez,García,López,Hernández,Sánchez,Ramírez,Pérez,Díaz,
    Muñoz,Rojas,Moreno,Jiménez,Vargas,Castro,Gutiérrez,Ortiz,Álvarez,Ruiz,Suárez,Romero,
    Quintero,Restrepo,Cárdenas,Valencia,Giraldo,Peña,Zapata,Ospina,Castaño,Mejía,Salazar,
    Bedoya,Arango,Córdoba,Mosquera,Barrios,Polo,Cabrera,Erazo,Pardo,Acosta}'::text[]
        AS apellidos,
    '{Repuestos,Autopartes,Almacén,Distribuidora,Importadora,"Motores y Repuestos",
    "Frenos y Partes","La Casa del Repuesto","Centro de Repuestos","Multirepuestos"}'::text[]
        AS tipos_tienda,
    '{"El Paisa","La 80","Los Andes","del Norte","San Andresito","La Sabana","El Cafetero",
    "La Costa","El Llano","Santander","La Séptima","Warnes","El Triángulo","Nacional",
    "Las Américas","El Faro","Japón","Europa","La Rueda","El Pistón"}'::text[]
        AS lugares_tienda;

CREATE TEMPORARY TABLE demo_ciudades (
    number integer GENERATED ALWAYS AS IDENTITY,
    departamento text NOT NULL,
    ciudad text NOT NULL,
    habitantes integer NOT NULL,
    first_asesor integer,
    asesores integer
);

-- Thousands of inhabitants, roughly.
INSERT INTO demo_ciudades (departamento, ciudad, habitantes) VALUES
('Bogotá D.C.', 'Bogotá', 7900),
('Antioquia', 'Medellín', 2570),
('Antioquia', 'Bello', 560),
('Antioquia', 'Itagüí', 295),
('Antioquia', 'Envigado', 245),
('Antioquia', 'Rionegro', 145),
('Antioquia', 'Apartadó', 130),
('Valle del Cauca', 'Cali', 2280),
('Valle del Cauca', 'Palmira', 355),
('Valle del Cauca', 'Buenaventura', 315),
('Valle del Cauca', 'Tuluá', 220),
('Valle del Cauca', 'Cartago', 140),
('Valle del Cauca', 'Buga', 130),
('Atlántico', 'Barranquilla', 1330),
('Atlántico', 'Soledad', 685),
('Atlántico', 'Malambo', 145),
('Bolívar', 'Cartagena', 1060),
('Bolívar', 'Magangué', 145),
('Cundinamarca', 'Soacha', 810),
('Cundinamarca', 'Fusagasugá', 170),
('Cundinamarca', 'Facatativá', 160),
('Cundinamarca', 'Chía', 155),
('Cundinamarca', 'Zipaquirá', 150),
('Cundinamarca', 'Girardot', 110),
('Santander', 'Bucaramanga', 620),
('Santander', 'Floridablanca', 315),
('Santander', 'Girón', 180),
('Santander', 'Barrancabermeja', 215),
('Norte de Santander', 'Cúcuta', 790),
('Norte de Santander', 'Ocaña', 130),
('Tolima', 'Ibagué', 545),
('Tolima', 'Espinal', 75),
('Risaralda', 'Pereira', 485),
('Risaralda', 'Dosquebradas', 225),
('Caldas', 'Manizales', 460),
('Quindío', 'Armenia', 310),
('Magdalena', 'Santa Marta', 555),
('Magdalena', 'Ciénaga', 120),
('Cesar', 'Valledupar', 555),
('Cesar', 'Aguachica', 115),
('Córdoba', 'Montería', 515),
('Córdoba', 'Lorica', 115),
('Meta', 'Villavicencio', 555),
('Meta', 'Acacías', 90),
('Nariño', 'Pasto', 395),
('Nariño', 'Ipiales', 120),
('Nariño', 'Tumaco', 260),
('Huila', 'Neiva', 370),
('Huila', 'Pitalito', 135),
('Cauca', 'Popayán', 330),
('Cauca', 'Santander de Quilichao', 115),
('Sucre', 'Sincelejo', 300),
('La Guajira', 'Riohacha', 210),
('La Guajira', 'Maicao', 190),
('Boyacá', 'Tunja', 185),
('Boyacá', 'Sogamoso', 130),
('Boyacá', 'Duitama', 130),
('Caquetá', 'Florencia', 180),
('Casanare', 'Yopal', 185),
('Chocó', 'Quibdó', 130),
('Arauca', 'Arauca', 100),
('Putumayo', 'Mocoa', 60),
('San Andrés y Providencia', 'San Andrés', 55),
('Guaviare', 'San José del Guaviare', 55),
('Amazonas', 'Leticia', 50),
('Vichada', 'Puerto Carreño', 20),
('Guainía', 'Inírida', 33),
('Vaupés', 'Mitú', 30);

CREATE TEMPORARY TABLE demo_vehiculos (
    number integer GENERATED ALWAYS AS IDENTITY,
    marca text NOT NULL,
    linea text NOT NULL,
    weight integer NOT NULL,
    price_factor numeric NOT NULL,
    first_year integer NOT NULL,
    last_year integer NOT NULL
);

INSERT INTO demo_vehiculos (marca, linea, weight, price_factor, first_year, last_year) VALUES
('Chevrolet', 'Spark GT', 80, 0.80, 2010, 2022),
('Chevrolet', 'Sail', 60, 0.85, 2012, 2023),
('Chevrolet', 'Aveo', 70, 0.80, 2005, 2017),
('Chevrolet', 'Corsa', 35, 0.70, 1998, 2010),
('Chevrolet', 'Optra', 25, 0.85, 2004, 2013),
('Chevrolet', 'Onix', 45, 0.95, 2017, 2025),
('Chevrolet', 'Tracker', 30, 1.15, 2013, 2025),
('Chevrolet', 'NHR', 25, 1.40, 2003, 2025),
('Chevrolet', 'D-Max', 20, 1.60, 2006, 2025),
('Renault', 'Logan', 75, 0.80, 2006, 2025),
('Renault', 'Sandero', 70, 0.85, 2008, 2025),
('Renault', 'Duster', 65, 1.05, 2012, 2025),
('Renault', 'Clio', 35, 0.75, 2001, 2016),
('Renault', 'Twingo', 35, 0.65, 1995, 2012),
('Renault', 'Kwid', 35, 0.80, 2019, 2025),
('Renault', 'Mégane', 15, 0.95, 2000, 2012),
('Renault', 'Koleos', 12, 1.45, 2009, 2024),
('Mazda', 'Mazda 2', 50, 1.05, 2008, 2025),
('Mazda', 'Mazda 3', 60, 1.15, 2004, 2025),
('Mazda', 'CX-30', 25, 1.40, 2020, 2025),
('Mazda', 'CX-5', 30, 1.45, 2013, 2025),
('Mazda', 'BT-50', 18, 1.60, 2007, 2024),
('Mazda', 'Allegro', 20, 0.75, 1996, 2009),
('Kia', 'Picanto', 65, 0.85, 2005, 2025),
('Kia', 'Rio', 40, 0.95, 2006, 2024),
('Kia', 'Sportage', 35, 1.30, 2005, 2025),
('Kia', 'Cerato', 20, 1.05, 2009, 2024),
('Hyundai', 'Accent', 35, 0.90, 2000, 2022),
('Hyundai', 'i10', 30, 0.85, 2009, 2020),
('Hyundai', 'Tucson', 28, 1.35, 2005, 2025),
('Hyundai', 'Creta', 15, 1.20, 2017, 2025),
('Nissan', 'March', 38, 0.95, 2012, 2024),
('Nissan', 'Versa', 35, 1.00, 2012, 2025),
('Nissan', 'Frontier', 25, 1.65, 2004, 2025),
('Nissan', 'Kicks', 22, 1.20, 2017, 2025),
('Nissan', 'Sentra', 22, 1.00, 1998, 2024),
('Toyota', 'Hilux', 38, 1.75, 2005, 2025),
('Toyota', 'Corolla', 25, 1.25, 2003, 2025),
('Toyota', 'Prado', 20, 2.40, 2003, 2024),
('Toyota', 'Fortuner', 22, 2.00, 2006, 2025),
('Ford', 'Fiesta', 30, 0.95, 2007, 2019),
('Ford', 'EcoSport', 25, 1.10, 2004, 2021),
('Ford', 'Escape', 16, 1.45, 2008, 2024),
('Ford', 'Ranger', 16, 1.70, 2008, 2025),
('Volkswagen', 'Gol', 32, 0.85, 1998, 2022),
('Volkswagen', 'Voyage', 18, 0.90, 2010, 2022),
('Volkswagen', 'Jetta', 20, 1.25, 2001, 2024),
('Volkswagen', 'Amarok', 10, 1.90, 2011, 2025),
('Suzuki', 'Swift', 28, 1.00, 2006, 2025),
('Suzuki', 'Grand Vitara', 22, 1.30, 2000, 2025),
('Suzuki', 'Alto', 15, 0.75, 2001, 2016),
('Citroën', 'C3', 12, 1.05, 2004, 2024),
('Citroën', 'C-Elysée', 8, 1.05, 2014, 2021),
('Peugeot', '206', 10, 0.85, 2000, 2009),
('Peugeot', '208', 10, 1.15, 2014, 2025),
('Fiat', 'Mobi', 8, 0.90, 2018, 2024),
('Fiat', 'Palio', 8, 0.75, 1999, 2015),
('Honda', 'Civic', 10, 1.35, 2002, 2022),
('Honda', 'CR-V', 10, 1.60, 2003, 2024),
('Mitsubishi', 'Montero', 8, 1.80, 1996, 2020),
('Mitsubishi', 'L200', 8, 1.65, 2007, 2024),
('JAC', 'S2', 6, 0.90, 2016, 2024),
('Chery', 'Tiggo', 6, 0.90, 2008, 2024),
('BMW', 'Serie 3', 7, 3.20, 2003, 2024),
('BMW', 'X3', 4, 3.80, 2006, 2024),
('Mercedes-Benz', 'Clase C', 6, 3.50, 2003, 2024),
('Audi', 'A4', 4, 3.30, 2004, 2024),
('Land Rover', 'Discovery', 2, 4.50, 2008, 2024);

CREATE TEMPORARY TABLE demo_repuestos (
    number integer GENERATED ALWAYS AS IDENTITY,
    nombre text NOT NULL,
    weight integer NOT NULL,
    base_price numeric NOT NULL,
    max_cantidad integer NOT NULL
);

-- COP for a car of price factor 1.
INSERT INTO demo_repuestos (nombre, weight, base_price, max_cantidad) VALUES
('Pastillas de freno delanteras', 100, 130000, 1),
('Pastillas de freno traseras', 50, 115000, 1),
('Discos de freno delanteros', 45, 260000, 2),
('Bandas de freno', 35, 98000, 1),
('Cilindro maestro de freno', 12, 240000, 1),
('Filtro de aceite', 60, 24000, 2),
('Filtro de aire', 50, 38000, 2),
('Filtro de combustible', 30, 45000, 1),
('Filtro de cabina', 25, 36000, 1),
('Bujías (juego)', 50, 82000, 1),
('Cables de bujías', 20, 110000, 1),
('Bobina de encendido', 28, 185000, 4),
('Batería 12V', 40, 390000, 1),
('Alternador', 25, 720000, 1),
('Motor de arranque', 25, 610000, 1),
('Amortiguador delantero', 60, 245000, 2),
('Amortiguador trasero', 45, 195000, 2),
('Espiral de suspensión', 15, 150000, 2),
('Rótula de suspensión', 35, 72000, 2),
('Terminal de dirección', 35, 58000, 2),
('Axial de dirección', 20, 62000, 2),
('Caja de dirección', 9, 1450000, 1),
('Bomba de dirección hidráulica', 9, 680000, 1),
('Rodamiento de rueda', 35, 110000, 2),
('Punta de eje', 18, 320000, 2),
('Kit de embrague', 45, 640000, 1),
('Kit de distribución', 40, 420000, 1),
('Correa de accesorios', 30, 65000, 1),
('Bomba de agua', 35, 165000, 1),
('Termostato', 20, 70000, 1),
('Radiador', 30, 480000, 1),
('Electroventilador', 18, 340000, 1),
('Manguera de radiador', 20, 48000, 2),
('Bomba de gasolina', 30, 290000, 1),
('Inyector', 20, 310000, 4),
('Sensor de oxígeno', 22, 260000, 2),
('Sensor de posición del cigüeñal', 15, 140000, 1),
('Empaque de culata', 18, 130000, 1),
('Culata', 6, 2300000, 1),
('Anillos de pistón', 8, 290000, 1),
('Turbocompresor', 5, 3900000, 1),
('Motor 3/4', 2, 9800000, 1),
('Caja de velocidades', 3, 5200000, 1),
('Compresor de aire acondicionado', 12, 1350000, 1),
('Condensador de aire acondicionado', 9, 560000, 1),
('Farola delantera', 35, 430000, 2),
('Stop trasero', 25, 230000, 2),
('Exploradora', 15, 160000, 2),
('Espejo retrovisor', 28, 240000, 2),
('Parachoques delantero', 22, 520000, 1),
('Parachoques trasero', 15, 460000, 1),
('Capó', 8, 980000, 1),
('Guardafango', 12, 310000, 2),
('Puerta delantera', 4, 1750000, 1),
('Panorámico delantero', 15, 540000, 1),
('Elevavidrios eléctrico', 15, 210000, 2),
('Plumillas limpiabrisas', 30, 42000, 2),
('Soporte de motor', 28, 145000, 3),
('Silenciador', 12, 280000, 1),
('Catalizador', 5, 1900000, 1),
('Llanta 185/65 R15', 25, 310000, 4),
('Aceite 20W-50 (galón)', 30, 105000, 2);

-- Each hour of the day: its share of the requests.
CREATE TEMPORARY TABLE demo_horas (hora integer NOT NULL, weight integer NOT NULL);

INSERT INTO demo_horas (hora, weight) VALUES
(0, 3), (1, 2), (2, 1), (3, 1), (4, 2), (5, 6), (6, 20), (7, 55), (8, 95), (9, 110), (10, 115),
(11, 105), (12, 65), (13, 70), (14, 100), (15, 105), (16, 95), (17, 75), (18, 50), (19, 35),
(20, 28), (21, 20), (22, 12), (23, 6);

CREATE TEMPORARY TABLE demo_slots AS
WITH items AS (
    SELECT
        'ciudad' AS kind,
        number,
        habitantes::numeric AS weight
    FROM demo_ciudades
    UNION ALL
    SELECT
        'vehiculo' AS kind,
        number,
        weight
    FROM demo_vehiculos
    UNION ALL
    SELECT
        'repuesto' AS kind,
        number,
        weight
    FROM demo_repuestos
    UNION ALL
    SELECT
        'hora' AS kind,
        hora,
        weight
    FROM demo_horas
),

shares AS (
    SELECT
        kind,
        number,
        weight,
        sum(weight) OVER (PARTITION BY kind ORDER BY number) AS upto,
        sum(weight) OVER (PARTITION BY kind) AS total
    FROM items
)

SELECT
    shares.kind,
    shares.number,
    slots.slot
FROM shares
CROSS JOIN
    generate_series(
        ceil(5000 * (shares.upto - shares.weight) / shares.total)::integer,
        ceil(5000 * shares.upto / shares.total)::integer - 1
    ) AS slots (slot);

ANALYZE demo_ciudades, demo_vehiculos, demo_repuestos, demo_slots;
