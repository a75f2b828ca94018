// Package buildtest builds the programs that tests start, once for all packages of tests and all runs:
// linking one takes seconds, and a dozen packages want the same.
//
// They lie in bin/test, a folder for each list of build tags, beside nothing else. What is there and up
// to date is left as it is: the go command sees to that. It does not build with make's stamp, and is for
// tests only.
package buildtest
