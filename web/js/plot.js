// Observable Plot, and the parts of d3 that it needs, each before those that need it. They are
// scripts of the packages as they are, which put themselves into globalThis.

import "../lib/d3-array.min.js";
import "../lib/d3-color.min.js";
import "../lib/d3-interpolate.min.js";
import "../lib/d3-format.min.js";
import "../lib/d3-time.min.js";
import "../lib/d3-time-format.min.js";
import "../lib/d3-scale.min.js";
import "../lib/d3-geo.min.js";
import "../lib/d3-path.min.js";
import "../lib/d3-shape.min.js";
import "../lib/d3-selection.min.js";
import "../lib/plot.umd.min.js";

/** @type {typeof import("@observablehq/plot")} */
export const Plot = /** @type {any} */ (globalThis).Plot;
