// Package spec reads an experiment's declaration and turns it into a plan of trials.
//
//	experiments/<name>/experiment.yaml --Load--> Experiment --Plan--> Plan
//
// The declaration is data and reads as a page of a paper: the question, the claims with their
// sources, the arms one line each, the primary cell, the factors varied round it, and the profiles
// that say how much of that to run. It is strict, by package strictyaml: every unknown key is an error with
// its line and the nearest key that exists, all of them at once. There are three kinds, of which each holds
// other things: [Experiment], [Store], [Sim].
//
// A plan is a pure function of declaration, profile, selection and seed: which arm, placement and
// cell in which block, in which order. Rates are not in it; they follow from the search at run
// time.
package spec
