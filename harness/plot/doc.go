// Package plot draws the figures of an experiment: every figure is a pure function of a run's
// tables (trials.csv, summary.csv, claims.csv and the manifest), so that drawing twice, today or
// in a year, gives the same bytes as PDF, SVG and PNG.
//
// One style for all (style.go): column width 3.33 inches, Liberation Sans 7 points, Okabe-Ito
// colours that never carry a meaning alone (glyph, fill or a direct label says the same, for
// grayscale), a light grid under the data, units on every axis, intervals wherever there are six
// blocks, legends outside the data. The conditions stand on the face of each figure: what path was
// measured, n, the interval's method, host and run. An arm that could not run keeps its line and
// says so; a value of which only a bound was seen is drawn as an arrow.
//
// The package lays out its own axes on gonum's vector canvas, because plots with shared rows,
// several panels, direct labels and footers are what gonum/plot's own layout is not made for, and
// because its logarithmic axis panics on zero and labels only powers of ten. Text becomes outlines
// in the PDF (canvas.go), where gonum would garble every character outside Windows-1252.
//
// It is the only package that imports gonum/plot. It computes no statistics of its own beyond
// those of packages stats and check, offers no options, and knows nothing of files except in
// [Figure.Save].
package plot
